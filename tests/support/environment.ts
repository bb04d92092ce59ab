// The environment of the programs that tests start: only the variables that every user's shell has, and none of those
// of the user who runs the tests.
// A test adds what it is about, so that no variable of the tests hides what users see.

/** What a login gives, and where the system and Deno keep their files; the second part is Windows. */
const OF_EVERY_USER = [
  ...["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TERM", "TMPDIR"],
  ...["XDG_CACHE_HOME", "DENO_DIR"],
  ...["SystemRoot", "SystemDrive", "ComSpec", "PATHEXT", "TEMP", "TMP"],
  ...["USERPROFILE", "APPDATA", "LOCALAPPDATA", "ProgramData"],
];

/** Those of them that are set here. */
export function userEnvironment(): Record<string, string> {
  return Object.fromEntries(OF_EVERY_USER.flatMap((name) => {
    const value = Deno.env.get(name);
    return value === undefined ? [] : [[name, value]];
  }));
}

/** What `go` needs besides: where modules come from, and where it keeps what it has built. */
export function goEnvironment(): Record<string, string> {
  const names = ["GOPATH", "GOCACHE", "GOMODCACHE", "GOPROXY", "GOFLAGS", "GOSUMDB", "GOTOOLCHAIN"];
  return Object.fromEntries(names.flatMap((name) => {
    const value = Deno.env.get(name);
    return value === undefined ? [] : [[name, value]];
  }));
}

/** Where the runtime under this test keeps packages. */
let denoFolder: Promise<string> | undefined;

/**
 * An environment with nothing in it but the cache of this user: where packages are, which would be fetched again for the
 * source, or where a self-extracting executable is unpacked, which would take seconds.
 */
export async function bareEnvironment(): Promise<Record<string, string>> {
  if (Deno.env.get("CONNECTOR_EXECUTABLE")) {
    const caches = Deno.build.os === "darwin" ? "Library/Caches" : ".cache";
    const cache = Deno.env.get("XDG_CACHE_HOME") || `${Deno.env.get("HOME")}/${caches}`;
    return { XDG_CACHE_HOME: cache };
  }
  denoFolder ??= new Deno.Command(Deno.execPath(), { args: ["info", "--json"] }).output()
    .then(({ stdout }) => JSON.parse(new TextDecoder().decode(stdout)).denoDir);
  return { DENO_DIR: await denoFolder };
}
