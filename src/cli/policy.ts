// `connector policy`: checks a policy file, and explains what it allows to whom. It asks the
// functions that `connector run` asks, and opens nothing but the file.

import { Argument, Command } from "commander";
import { type Address, formatAddress, parseAddress } from "../model/address.ts";
import { ConnectorError } from "../model/errors.ts";
import { parseIp } from "../model/ip.ts";
import type { CertificateId } from "../model/principal.ts";
import { names } from "../names.ts";
import { plainText } from "../plain_text.ts";
import type { PolicyPeer, PolicyQuestion } from "../policy/decide.ts";
import type { Policy } from "../policy/policy.ts";
import { examples } from "./help_layout.ts";
import { UsageError } from "./usage_error.ts";

/** What the command needs of the world. */
export interface PolicyIo {
  stdout(text: string): void;
  stderr(text: string): void;
  /** The addresses of a host name. Default: what the system answers. @throws {ConnectorError} when there are none. */
  resolve?(host: string): Promise<readonly string[]>;
}

/** A file with a mistake, or something that is not allowed. */
const EXIT_REFUSED = 1;
/** The longest line, in characters. Lines quote what stands in the file. */
const MAX_LINE_LENGTH = 1000;

const EXAMPLES = examples(
  `  Has the file a mistake?
    connector policy check policy.yaml

  May this laptop listen on port 8080 of this connector?
    connector policy explain policy.yaml \\
      --peer=spiffe://example/laptop/one --listen=127.0.0.1:8080

  May a peer whose certificate has this DNS name reach the database?
    connector policy explain policy.yaml \\
      --peer=dns:gateway.example --reach=db.example:5432
`,
  { options: false },
);

interface PolicySettings {
  peer?: string[];
  listen?: string;
  reach?: string;
}

/** Builds the command. `setExitCode` is told if a file has a mistake, or the answer is no. */
export function policyCommand(io: PolicyIo, setExitCode: (code: number) => void): Command {
  const command = new Command("policy")
    .summary("check a policy file, or explain what it allows")
    .description(
      "Checks a policy file, or explains which of its rules allows something. The exit code is 1 if the file " +
        "has a mistake or no rule allows it.",
    )
    .addArgument(new Argument("<action>", "what to do").choices(["check", "explain"]))
    .argument("<file>", "the policy file")
    .option(
      "--peer <name>",
      "explain: a name in the peer's certificate, as spiffe://…, dns:…, subject:… or fingerprint:…; " +
        "repeats; or anonymous for a peer without one",
      (name: string, before: string[] = []) => [...before, name],
    )
    .option("--listen <address>", "explain: whether it may listen there, host:port or :port")
    .option("--reach <address>", "explain: whether it may reach this destination, host:port")
    .addHelpText("after", EXAMPLES);
  // The parser lets nothing but the choices through.
  return command.action(
    async (action: "check" | "explain", file: string, settings: PolicySettings) => {
      const question = action === "explain" ? readQuestion(settings) : undefined;
      if (question === undefined) refuseQuestion(settings);
      const policy = await read(file, io);
      if (policy === undefined) return setExitCode(EXIT_REFUSED);
      if (question === undefined) {
        const { length } = policy.rules;
        return io.stdout(line(`${file}: ${length} ${length === 1 ? "rule" : "rules"}, no mistake`));
      }
      const allowed = await explain(policy, question, io);
      if (!allowed) setExitCode(EXIT_REFUSED);
    },
  );
}

interface Question {
  peer: PolicyPeer;
  asked: PolicyQuestion & { kind: "listen" | "reach" };
}

function refuseQuestion({ peer, listen, reach }: PolicySettings): void {
  if (peer === undefined && listen === undefined && reach === undefined) return;
  throw new UsageError("--peer, --listen and --reach are only for connector policy explain");
}

function readQuestion({ peer, listen, reach }: PolicySettings): Question {
  if (peer === undefined) {
    throw new UsageError("--peer is missing: give a name of the peer's certificate, or anonymous");
  }
  if ((listen === undefined) === (reach === undefined)) {
    const problem = listen === undefined ? "is missing" : "are given both";
    throw new UsageError(`--listen or --reach ${problem}, want one of them`);
  }
  return {
    peer: readPeer(peer),
    asked: listen !== undefined
      ? { kind: "listen", at: readAddress(listen, { origin: "--listen", bind: true }) }
      : { kind: "reach", to: readAddress(reach ?? "", { origin: "--reach", bind: false }) },
  };
}

function readAddress(text: string, { origin, bind }: { origin: string; bind: boolean }): Address {
  try {
    const address = parseAddress(text, { bind });
    if (!bind || address.host === "" || parseIp(address.host) !== undefined) return address;
  } catch (error) {
    if (error instanceof ConnectorError) throw new UsageError(`${origin}: ${error.message}`);
    throw error;
  }
  throw new UsageError(`${origin}: "${text}" has a name, want an IP address and a port, or :port`);
}

const KINDS = ["dns", "subject", "fingerprint"] as const;

/** Makes a peer of the names of its certificate. */
function readPeer(texts: readonly string[]): PolicyPeer {
  if (texts.length === 1 && texts[0] === "anonymous") return "anonymous";
  const found = { spiffe: [] as string[], dns: [] as string[], subject: "", fingerprint: "" };
  for (const text of texts) {
    const kind = KINDS.find((each) => text.startsWith(`${each}:`));
    const name = kind === undefined ? text : text.slice(kind.length + 1);
    if (kind === "dns") found.dns.push(name);
    else if (kind === "subject") found.subject = name;
    else if (kind === "fingerprint") found.fingerprint = name.replaceAll(":", "").toLowerCase();
    else if (text.startsWith("spiffe://")) found.spiffe.push(text);
    else {
      const wanted = "want spiffe://…, dns:…, subject:…, fingerprint:…, or anonymous alone";
      throw new UsageError(`--peer cannot be "${text}", ${wanted}`);
    }
  }
  const certificate: CertificateId = {
    name: "",
    key: found.fingerprint,
    displayName: texts.join(", "),
    spiffeIds: found.spiffe,
    dnsNames: found.dns,
    ipAddresses: [],
    subject: found.subject,
  };
  return certificate;
}

/** The policy; undefined if the file has mistakes, which are printed then. @throws {ConnectorError} when it cannot be read. */
async function read(file: string, io: PolicyIo): Promise<Policy | undefined> {
  // Loaded only now, so that help and other commands need not wait for the YAML library.
  const { readPolicyFile } = await import("../policy/policy_file.ts");
  const { policy, problems = [], access } = await readPolicyFile(file);
  for (const { line: number, column, message } of problems) {
    io.stderr(line(`${file}:${number}:${column}: ${message}`));
  }
  for (const { file: label, mode, problem } of access) {
    io.stderr(line(`warning: ${label} has the mode ${mode}: ${problem}`));
  }
  return policy;
}

/** Prints an answer, for each address of a name that is to be reached. Whether all of them are allowed. */
async function explain(policy: Policy, { peer, asked }: Question, io: PolicyIo): Promise<boolean> {
  const { decideAmong, rulesFor, whyRefused } = await import("../policy/decide.ts");
  const { nameOfRule } = await import("../policy/policy.ts");
  const rules = rulesFor(policy, peer);
  const { questions, unknown } = await withAddresses(asked, io);
  let allAllowed = unknown === undefined;
  for (const question of questions) {
    const { allowed, rule } = decideAmong(rules, { policy, question });
    allAllowed &&= allowed;
    const what = describe(question);
    if (rule !== undefined && unknown !== undefined) {
      const may = `${nameOfRule(rule)} may allow it, depending on its address`;
      io.stdout(line(`undecided: ${what}, ${may}: ${unknown}`));
      continue;
    }
    if (rule !== undefined) {
      io.stdout(line(`allowed: ${what}, by ${nameOfRule(rule)}`));
      continue;
    }
    io.stdout(line(`refused: ${what}, ${whyRefused(rules, { policy, question })}`));
  }
  return allAllowed;
}

/**
 * As it is asked when it happens: about each address that would be dialled. `unknown`: why a name has none here, as one of
 * another network.
 */
async function withAddresses(
  asked: Question["asked"],
  { resolve = (host) => names.addressesOf(host) }: PolicyIo,
): Promise<{ questions: PolicyQuestion[]; unknown?: string }> {
  if (asked.kind === "listen" || parseIp(asked.to.host) !== undefined) {
    return { questions: [asked] };
  }
  try {
    const ips = await resolve(asked.to.host);
    return { questions: ips.map((ip) => ({ ...asked, ip })) };
  } catch (error) {
    if (error instanceof ConnectorError) return { questions: [asked], unknown: error.message };
    throw error;
  }
}

function describe(question: PolicyQuestion): string {
  if (question.kind === "listen") return `to listen on ${formatAddress(question.at)}`;
  if (question.kind === "control") return `to call ${question.right}`;
  const at = question.ip === undefined ? "" : ` at ${question.ip}`;
  return `to reach ${formatAddress(question.to)}${at}`;
}

function line(text: string): string {
  return `${plainText(text, MAX_LINE_LENGTH)}\n`;
}
