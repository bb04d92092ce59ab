// Finds out who besides its owner may read or change a file that the program relies on: keys,
// certificates, the state file. It refuses nothing; the code that opens the file logs what is found
// here.

import { dirname } from "node:path";

/** What to look for. */
export interface AccessRules {
  /** What messages call the file, such as `server key "certs/leaf.key"`. */
  label: string;
  /** Nobody else may read it either; the group may, as Kubernetes has it for a volume's `fsGroup`. */
  secret: boolean;
}

/** A file that is open to others. */
export interface OpenFile {
  /** Its label. */
  file: string;
  /** In octal, of the file or of its folder: `0644`. */
  mode: string;
  /** Who may do what, and what to do about it. */
  problem: string;
}

const OTHERS_READ = 0o004;
const OTHERS_WRITE = 0o002;
const GROUP_WRITE = 0o020;
const STICKY = 0o1000;

/** Problems of an open file and of the folders that lead to it: the one given, and the one that a link leads to. */
export async function openToOthers(
  path: string,
  { mode, label, secret }: AccessRules & { mode: number | null },
): Promise<OpenFile[]> {
  // Windows has no modes.
  if (mode === null || Deno.build.os === "windows") return [];
  const problems: OpenFile[] = [];
  const who = [
    ...(secret && mode & OTHERS_READ ? ["others may read it"] : []),
    ...(mode & OTHERS_WRITE ? ["others may change it"] : []),
    ...(mode & GROUP_WRITE ? ["its group may change it"] : []),
  ];
  if (who.length > 0) {
    const wanted = secret ? "chmod 600" : "chmod go-w";
    problems.push({
      file: label,
      mode: octal(mode),
      problem: `${who.join(", ")}: ${wanted} "${path}"`,
    });
  }
  for (const [folder, mode] of await foldersOf(path)) {
    // In a sticky folder, as /tmp is one, nobody can exchange what is another's.
    if (mode === null || (mode & OTHERS_WRITE) === 0 || mode & STICKY) continue;
    problems.push({
      file: label,
      mode: octal(mode),
      problem: `others may exchange it: chmod o-w "${folder}"`,
    });
  }
  return problems;
}

/** With their modes. One that cannot be asked about, since it is closed to us, is left out. */
async function foldersOf(path: string): Promise<Map<string, number | null>> {
  const folders = new Map<string, number | null>();
  for (
    const find of [() => Deno.realPath(dirname(path)), () => Deno.realPath(path).then(dirname)]
  ) {
    try {
      const folder = await find();
      folders.set(folder, (await Deno.stat(folder)).mode);
    } catch (error) {
      if (!(error instanceof Deno.errors.PermissionDenied)) throw error;
    }
  }
  return folders;
}

function octal(mode: number): string {
  return (mode & 0o7777).toString(8).padStart(4, "0");
}
