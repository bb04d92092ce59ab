// `connector forward`: exposes one service in the foreground, without a connector that runs already, until Ctrl-C. What it
// was asked is read here; run_forward.ts does it.

import { Argument, Command } from "commander";
import type { AssembleOptions } from "../assemble.ts";
import { formatAddress } from "../model/address.ts";
import { isServiceName, type ServiceRequest } from "../model/service.ts";
import { refuseKeyLog } from "./environment.ts";
import { parseForwarding, parsePeer } from "./forwarding.ts";
import { examples } from "./help_layout.ts";
import { readRunOptions } from "./run_options.ts";
import { addRunFlags } from "./run_settings.ts";
import { UsageError } from "./usage_error.ts";

/** What is forwarded, and by what. */
export interface ForwardOptions {
  request: ServiceRequest;
  /** A connector that nobody can dial, and that has no API. */
  connector: AssembleOptions;
}

/** What the command needs of the world. */
export interface ForwardIo {
  env: Readonly<Record<string, string | undefined>>;
  /** Forwards until it is told to end, and resolves with the exit code. */
  forward(options: ForwardOptions): Promise<number>;
}

/** Where services of type remote are listened for unless an address is written: as ssh does, for this machine only. */
const LOOPBACK = ["127.0.0.1"];

interface ForwardSettings {
  to?: string;
  name?: string;
}

/** Builds the command. */
export function forwardCommand(io: ForwardIo, setExitCode: (code: number) => void): Command {
  const command = new Command("forward")
    .summary("forward a port in the foreground, until Ctrl-C")
    .description(
      "Forwards a port to or from another connector, in the foreground, without a connector that runs here already. " +
        "It shows how that goes, and Ctrl-C removes it. local: visitors of the port at the other connector are " +
        "connected to the destination here. remote: visitors of the port here, on 127.0.0.1 unless an address is " +
        "given, are connected to the destination there.",
    )
    .addArgument(
      new Argument("<type>", "which side the destination is on").choices(["local", "remote"]),
    )
    .argument("<forwarding>", "[ADDRESS:]PORT:HOST:PORT: where to listen, and the destination")
    .option("--to <address>", "host:port of the other connector's gRPC server")
    .option("--name <name>", "what to call it (default: the destination)");
  const settings = addRunFlags(command, {
    names: ["rootCertPath", "serverCertPath", "serverKeyPath"],
    env: io.env,
  });
  command.addHelpText("after", EXAMPLES);
  return command.action(
    async (type: "local" | "remote", text: string, { to, name }: ForwardSettings) => {
      const { sourceAddr, sourcePort, destination } = parseForwarding(text);
      const destinationAddr = formatAddress(destination);
      const request = {
        name: name ?? destinationAddr,
        sourcePort,
        ...(sourceAddr !== undefined && { sourceAddr }),
        remoteConnectorAddr: parsePeer(to),
        destinationAddr,
        type,
      };
      if (!isServiceName(request.name)) {
        throw new UsageError("--name: want 1 to 255 characters, none of them a control character");
      }
      const { grpcBind: _grpc, httpBind: _http, ...options } = readRunOptions(settings());
      if (options.tls) refuseKeyLog(io.env);
      const connector = { ...options, serviceBind: LOOPBACK };
      setExitCode(await io.forward({ request, connector }));
    },
  );
}

const EXAMPLES = examples(
  `  Let visitors of port 12000 at the other connector reach a web server here:
    connector forward local 12000:localhost:8080 --to server:9090

  Reach a database there by port 5432 of this machine:
    connector forward remote 5432:db.internal:5432 --to server:9090
`,
  { options: false },
);
