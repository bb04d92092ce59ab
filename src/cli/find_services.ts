// Finds the services that a user means: by id, by name, or by the beginning of either where only one has it. Pure.

import type { AnyServiceJson } from "../api/answers.ts";
import { ConnectorError } from "../model/errors.ts";
import { plainText } from "../plain_text.ts";

/** Services that are named where several could be meant: as many as somebody reads. */
const MAX_CANDIDATES = 5;
/** Characters of a name in a message. */
const MAX_NAME_LENGTH = 100;

/** The services that are meant, each once; all of them where nothing is. @throws {ConnectorError} */
export function findServices(
  services: readonly AnyServiceJson[],
  wanted: readonly string[],
): AnyServiceJson[] {
  if (wanted.length === 0) return [...services];
  return [...new Set(wanted.map((text) => findService(services, text)))];
}

/** The one service that is meant. @throws {ConnectorError} `not_found` when there is none, or more than one. */
export function findService(services: readonly AnyServiceJson[], wanted: string): AnyServiceJson {
  const ways: ((each: AnyServiceJson) => boolean)[] = [
    ({ id }) => id === wanted,
    ({ name }) => name === wanted,
    ({ id, name }) => wanted !== "" && (id.startsWith(wanted) || name.startsWith(wanted)),
  ];
  const shown = plainText(wanted, MAX_NAME_LENGTH);
  for (const way of ways) {
    const [found, ...others] = services.filter(way);
    if (found === undefined) continue;
    if (others.length === 0) return found;
    const all = [found, ...others];
    const lines = all.slice(0, MAX_CANDIDATES).map(({ id, name }) =>
      `\n  ${id} ${plainText(name, MAX_NAME_LENGTH)}`
    );
    const more = all.length > MAX_CANDIDATES ? "\n  …" : "";
    throw new ConnectorError(
      "not_found",
      `"${shown}" may be any of ${all.length} services:${lines.join("")}${more}`,
      { hint: "Give more of its name or id" },
    );
  }
  throw new ConnectorError("not_found", `There is no service "${shown}"`, {
    hint: "See connector list",
  });
}
