// `connector generate-certs`: makes certificate files and says what was made. Its options are in
// generate_certs_options.ts, how certificates look in certs/issue/issue.ts, how files are written in
// certs/files/pem_files.ts.

import { Command, Option } from "commander";
import {
  GENERATE_CERTS_FLAGS,
  type GenerateCertsFlag,
  type GenerateCertsFlagName,
  type GenerateCertsOptions,
  type GenerateCertsSettings,
  type LeafRequest,
  readGenerateCertsOptions,
  type RootRequest,
} from "./generate_certs_options.ts";
import { examples } from "./help_layout.ts";

/** What the command needs of the world. */
export interface GenerateCertsIo {
  stdout(text: string): void;
  stderr(text: string): void;
  env: Readonly<Record<string, string | undefined>>;
}

const EXAMPLES = examples(`  A root, once:
    connector generate-certs --ca ./certs

  A certificate for each connector, with the names and addresses that others
  dial it by:
    connector generate-certs --leaf \\
      --root-ca ./certs/root.cert --root-key ./certs/root.key \\
      --dns-name connector.example --ip-address 10.0.0.5 ./certs/first
`);

/** Builds the command. Its action throws `UsageError` before anything is done, `ConnectorError` after. */
export function generateCertsCommand(io: GenerateCertsIo): Command {
  const command = new Command("generate-certs")
    .summary("make certificates for mutual TLS")
    .description("Makes the certificates by which connectors trust each other.")
    .argument("[output location]", "folder to write to, made if it is missing", ".")
    .addHelpText("after", EXAMPLES);
  // `GENERATE_CERTS_FLAGS` lists exactly the flag names.
  const flags = Object.entries(GENERATE_CERTS_FLAGS) as [
    GenerateCertsFlagName,
    GenerateCertsFlag,
  ][];
  const options = new Map(flags.map(([name, flag]) => [name, createOption(flag)]));
  for (const option of options.values()) command.addOption(option);
  return command.action(async (folder: string) => {
    const settings: GenerateCertsSettings = {};
    for (const [name, option] of options) {
      const written: unknown = command.getOptionValue(option.attributeName());
      const { variable } = GENERATE_CERTS_FLAGS[name];
      // An empty variable counts as unset: that is how a shell or a container template leaves one out.
      const inherited = io.env[variable];
      if (written !== undefined) {
        settings[name] = {
          text: String(written),
          origin: option.long ?? option.flags,
          written: true,
        };
      } else if (inherited) {
        settings[name] = { text: inherited, origin: variable, written: false };
      }
    }
    const { said, warnings } = await generate(readGenerateCertsOptions(folder, settings));
    for (const warning of warnings) io.stderr(`warning: ${warning}\n`);
    io.stdout(said);
  });
}

/** The parser's own variables are not used: for it, `NAME=false` turns a boolean on. */
function createOption(flag: GenerateCertsFlag): Option {
  const shownDefault = flag.shownDefault === undefined ? "" : `default: ${flag.shownDefault}, `;
  const option = new Option(
    flag.flags,
    `${flag.description} (${shownDefault}env: ${flag.variable})`,
  );
  if (flag.repeats) {
    option.argParser((value: string, before: string | undefined) =>
      before === undefined ? value : `${before},${value}`
    );
  }
  return option;
}

/** What to say about the files that were made, and about those that were read. */
interface Outcome {
  said: string;
  warnings: string[];
}

/** Makes the files. */
async function generate(options: GenerateCertsOptions): Promise<Outcome> {
  return options.kind === "root" ? await generateRoot(options) : await generateLeaf(options);
}

async function generateRoot({ folder, force, ...options }: RootRequest): Promise<Outcome> {
  // Loaded only now, so that help and other commands need not wait for the certificate library.
  const { issueRoot } = await import("../certs/issue/issue.ts");
  const { writeIssued } = await import("../certs/files/pem_files.ts");
  const root = await issueRoot(options);
  const paths = await writeIssued(root, { name: "root", folder, force });
  const said = lines(
    `Wrote ${paths.certificate} and ${paths.privateKey}`,
    `The root is valid until ${day(root.notAfter)}`,
    `Keep ${paths.privateKey} secret: whoever has it can issue certificates that every peer trusts`,
  );
  return { said, warnings: [] };
}

async function generateLeaf({ folder, force, ...options }: LeafRequest): Promise<Outcome> {
  const { openAuthority } = await import("../certs/issue/authority.ts");
  const { issueLeaf } = await import("../certs/issue/issue.ts");
  const { readPemFile, writeIssued } = await import("../certs/files/pem_files.ts");
  const certificate = await readPemFile(options.rootCaPath, "root certificate");
  const key = await readPemFile(options.rootKeyPath, "root key", { secret: true });
  const root = await openAuthority({ certificate, key });
  const leaf = await issueLeaf(root, options);
  const paths = await writeIssued(leaf, { name: "leaf", folder, force });
  const names = [...options.dnsNames, ...options.ipAddresses];
  const endsWithRoot = leaf.notAfter.getTime() === root.certificate.notAfter.getTime();
  const warnings = [...certificate.access, ...key.access].map(({ file, mode, problem }) =>
    `${file} has the mode ${mode}: ${problem}`
  );
  const said = lines(
    `Wrote ${paths.certificate} and ${paths.privateKey}`,
    `The leaf is valid until ${day(leaf.notAfter)}${endsWithRoot ? ", when its root ends" : ""}`,
    names.length > 0
      ? `It is for ${names.join(", ")}`
      : "It has no host name or address: a connector with it can dial others, but cannot be dialled",
  );
  return { said, warnings };
}

/** Date and time to the second, as certificates hold them. */
function day(date: Date): string {
  return date.toISOString().replace(/\.\d+Z$/, "Z");
}

function lines(...texts: string[]): string {
  return texts.map((text) => `${text}\n`).join("");
}
