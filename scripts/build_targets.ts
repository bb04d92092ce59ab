// The platforms that executables are made for, and how their files are named. Used by build.ts and its tests.

/** A platform. */
export interface Target {
  os: "linux" | "macos" | "windows";
  arch: "x86_64" | "arm64";
  /** As `deno compile --target` has it. */
  triple: string;
}

export const TARGETS: readonly Target[] = [
  { os: "linux", arch: "x86_64", triple: "x86_64-unknown-linux-gnu" },
  { os: "linux", arch: "arm64", triple: "aarch64-unknown-linux-gnu" },
  { os: "macos", arch: "x86_64", triple: "x86_64-apple-darwin" },
  { os: "macos", arch: "arm64", triple: "aarch64-apple-darwin" },
  { os: "windows", arch: "x86_64", triple: "x86_64-pc-windows-msvc" },
];

/** `linux-arm64`: what `--target` takes and file names hold. */
export function targetName({ os, arch }: Target): string {
  return `${os}-${arch}`;
}

/** The executable's file name. */
export function executableName(target: Target): string {
  return `connector-${targetName(target)}${target.os === "windows" ? ".exe" : ""}`;
}

/** The archive's file name: what people of that platform can open without further programs. */
export function archiveName(target: Target): string {
  return `connector-${targetName(target)}.${target.os === "windows" ? "zip" : "tar.gz"}`;
}

/** @throws {Error} for a platform that is not in the list. */
export function findTarget(name: string): Target {
  const target = TARGETS.find((each) => targetName(each) === name || each.triple === name);
  if (target) return target;
  const known = TARGETS.map(targetName).join(", ");
  throw new Error(`Cannot build for "${name}": want one of ${known}`);
}

/** The platform that this runs on. @throws {Error} when there is no executable for it. */
export function hostTarget(): Target {
  return findTarget(Deno.build.target);
}
