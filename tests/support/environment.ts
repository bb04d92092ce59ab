// The environment of the programs that tests start: nothing of whoever runs the tests but what every user's shell has.
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

/** Where the runtime under this test keeps packages. */
let denoFolder: Promise<string> | undefined;

/**
 * An environment with nothing in it, but where the packages are, which would be fetched again from the source, and
 * where a self-extracting executable unpacks to when it has no home: a folder of the test.
 */
export async function bareEnvironment(folder: string): Promise<Record<string, string>> {
  if (Deno.env.get("CONNECTOR_EXECUTABLE")) return { TMPDIR: folder };
  denoFolder ??= new Deno.Command(Deno.execPath(), { args: ["info", "--json"] }).output()
    .then(({ stdout }) => JSON.parse(new TextDecoder().decode(stdout)).denoDir);
  return { DENO_DIR: await denoFolder };
}
