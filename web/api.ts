/// <reference lib="dom" />
// Requests to the connector that the page comes from, with the token that was typed in. It is kept for the tab alone.

const TOKEN_KEY = "connector-token";

/** What a header can hold of one that was typed or pasted. */
const SENDABLE = /^[ -~]*$/;

/** An answer that is not 200, in the API's own words. */
export class ApiError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export function setToken(token: string): void {
  sessionStorage.setItem(TOKEN_KEY, token);
}

export function hasToken(): boolean {
  return sessionStorage.getItem(TOKEN_KEY) !== null;
}

export function forgetToken(): void {
  sessionStorage.removeItem(TOKEN_KEY);
}

/**
 * Asks the connector.
 *
 * @throws {ApiError} for an answer that is not 200; `TypeError` when there is none.
 */
export async function request(path: string, init: RequestInit = {}): Promise<Response> {
  const token = sessionStorage.getItem(TOKEN_KEY);
  if (token !== null && !SENDABLE.test(token)) {
    throw new ApiError(
      401,
      "The token has characters that no token has, look at how it was copied",
    );
  }
  const headers = new Headers(init.headers);
  if (token !== null) headers.set("authorization", `Bearer ${token}`);
  const response = await fetch(path, { ...init, headers, cache: "no-store" });
  if (response.ok) return response;
  throw new ApiError(response.status, (await response.text()).trim());
}
