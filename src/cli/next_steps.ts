// What `connector run` says on a terminal once it runs: where it is, and what to do next. Pure.

import { type Address, formatAddress } from "../model/address.ts";
import { paint } from "./color.ts";

/** Where a connector is. */
export interface StartedPlaces {
  grpc: Address;
  /** Absent where the API has no port. */
  http?: Address | undefined;
  apiSocket?: string | undefined;
  /** Path of the root, if it runs with certificates. */
  rootCertPath?: string | undefined;
  apiTokenFile?: string | undefined;
}

/** Where commands look for the API unless they are told. */
const DEFAULT_PORT = 9091;

/** Three lines with their ends, of fewer than 80 columns with the default ports. */
export function nextSteps(places: StartedPlaces, { colored }: { colored: boolean }): string {
  const { grpc, http, apiSocket } = places;
  const title = (text: string) => colored ? paint("title", text) : text;
  const api = http !== undefined
    ? `REST API and dashboard: ${urlOf(http, places)}`
    : `REST API: ${apiSocket}`;
  const flags = flagsFor(places);
  return `${title("Running.")} Peers dial ${reachable(grpc)}. ${api}\n` +
    `${
      title("Expose")
    } a service: connector expose local 12000:localhost:8080 --to SERVER:9090${flags}\n` +
    `${title("See")} how it goes: connector status --watch${flags}\n`;
}

/** What commands must be told to find it, and to be let in. */
function flagsFor(places: StartedPlaces): string {
  const { http, apiSocket, rootCertPath, apiTokenFile } = places;
  const isDefault = http?.port === DEFAULT_PORT && rootCertPath === undefined && isHere(http);
  const flags = [
    ...(isDefault
      ? []
      : http === undefined
      ? [`--api=unix:${apiSocket}`]
      : [`--api=${urlOf(http, places)}`]),
    ...(http !== undefined && rootCertPath !== undefined ? [`--cacert=${rootCertPath}`] : []),
    ...(apiTokenFile === undefined ? [] : [`--api-token-file=${apiTokenFile}`]),
  ];
  return flags.map((flag) => ` ${quoted(flag)}`).join("");
}

/** Whether it is reached by the name localhost. */
function isHere({ host }: Address): boolean {
  return ["", "localhost", "127.0.0.1", "0.0.0.0", "::", "::1"].includes(host);
}

function urlOf(address: Address, { rootCertPath }: StartedPlaces): string {
  const place = isHere(address) ? { ...address, host: "localhost" } : address;
  return `${rootCertPath === undefined ? "http" : "https"}://${formatAddress(place)}`;
}

/** Where others dial: on every interface there is no one name for that. */
function reachable(address: Address): string {
  return ["", "0.0.0.0", "::"].includes(address.host)
    ? `port ${address.port}`
    : formatAddress(address);
}

/** As a POSIX shell takes it. */
function quoted(flag: string): string {
  return /^[\w@%+=:,./\[\]-]+$/.test(flag) ? flag : `'${flag.replaceAll("'", `'\\''`)}'`;
}
