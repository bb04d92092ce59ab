// `connector completion SHELL`: a script that completes commands and flags in bash, zsh, fish or PowerShell. It is
// generated from the commands themselves, so it knows exactly what they know. Names of services are asked for when they are
// wanted, by `connector list --quiet`.

import { Argument, Command } from "commander";
import { examples } from "./help_layout.ts";

/** What the command needs of the world. */
export interface CompletionIo {
  stdout(text: string): void;
}

const SHELLS = {
  bash: bashScript,
  zsh: zshScript,
  fish: fishScript,
  powershell: powershellScript,
};
type Shell = keyof typeof SHELLS;

const EXAMPLES = examples(
  `  bash, for this session:
    source <(connector completion bash)

  bash, for good:
    connector completion bash \\
      > ~/.local/share/bash-completion/completions/connector

  zsh, into a folder of $fpath:
    connector completion zsh > "\${fpath[1]}/_connector"

  fish:
    connector completion fish > ~/.config/fish/completions/connector.fish

  PowerShell, into the profile:
    connector completion powershell >> $PROFILE
`,
  { options: false },
);

/** Builds the command; it completes the program that it is added to. */
export function completionCommand(io: CompletionIo): Command {
  const command = new Command("completion")
    .summary("print a script that completes commands and flags")
    .description("Prints a script that completes commands and flags in a shell.")
    .addArgument(new Argument("<shell>", "the shell").choices(Object.keys(SHELLS)))
    .addHelpText("after", EXAMPLES);
  // The parser lets nothing but the choices through.
  return command.action((shell: Shell) => {
    if (!command.parent) throw new TypeError("the command belongs to no program");
    io.stdout(SHELLS[shell](describe(command.parent)));
  });
}

/** The parser's own command, which is not among the program's. */
const HELP = { name: "help", summary: "print help for a command" };

/** A command as a shell needs to know it. */
interface Completion {
  name: string;
  summary: string;
  flags: Flag[];
  /** Words that the first argument can be; none when it is a file. */
  words: string[];
  /** A file follows the first argument. */
  fileFollows: boolean;
  /** Arguments are services, by name. */
  takesServices: boolean;
}

interface Flag {
  /** `--name` or `-n`. */
  name: string;
  description: string;
  takesValue: boolean;
  /** The value names a file. */
  isPath: boolean;
}

function describe(program: Command): Completion[] {
  return [program, ...program.commands].map((command) => {
    const flags = command.createHelp().visibleOptions(command).flatMap((option) =>
      [option.long, option.short].filter((name) => name !== undefined).map((name) => ({
        name,
        description: firstWords(option.description),
        takesValue: option.required,
        isPath: /^<(path|file|folder)>$/.test(/<\w+>/.exec(option.flags)?.[0] ?? ""),
      }))
    );
    return {
      name: command === program ? "" : command.name(),
      summary: command.summary() || command.description(),
      flags,
      words: command === program
        ? [...program.commands.map((each) => each.name()), HELP.name]
        : command.registeredArguments[0]?.argChoices ?? [],
      fileFollows: command.registeredArguments[1]?.name() === "file",
      takesServices: command.registeredArguments[0]?.name() === "service",
    };
  });
}

/** A description without its default and variable, which stand in brackets at its end. */
function firstWords(description: string): string {
  return description.replace(/ \((default|env):.*\)$/, "");
}

function bashScript(commands: Completion[]): string {
  const cases = commands.map(({ name, flags, words, takesServices }) => {
    const valued = flags.filter((flag) => flag.takesValue && !flag.isPath);
    const paths = flags.filter((flag) => flag.isPath);
    return `    ${quoteBash(name)})
      words=${quoteBash([...words, ...flags.map((flag) => flag.name)].join(" "))}
      values=${quoteBash(spaced(valued))}
      paths=${quoteBash(spaced(paths))}
      services=${takesServices ? "yes" : ""}
      ;;`;
  });
  return `# bash completion of connector; made by \`connector completion bash\`
_connector() {
  local word=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD - 1]} command="" words values paths services
  COMPREPLY=()
  if [ "$COMP_CWORD" -gt 1 ]; then command=\${COMP_WORDS[1]}; fi
  case "$command" in
${cases.join("\n")}
    *) return ;;
  esac
  # bash takes "--flag=value" apart at the "=".
  if [ "$word" = "=" ]; then word=""; elif [ "$before" = "=" ]; then before=\${COMP_WORDS[COMP_CWORD - 2]}; fi
  if [ "\${COMP_WORDS[COMP_CWORD]}" = "=" ]; then before=\${COMP_WORDS[COMP_CWORD - 1]}; fi
  if [[ $values == *" $before "* ]]; then return; fi
  if [[ $paths == *" $before "* ]]; then
    mapfile -t COMPREPLY < <(compgen -f -- "$word")
    return
  fi
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
  if [ -z "$services" ] || [[ $word == -* ]]; then return; fi
  # bash takes names apart at ":", too, and wants only what follows the last one. What it inserts is a part of the
  # command line, so a name is quoted: a peer may have chosen it.
  local typed=\${COMP_LINE:0:\${COMP_POINT:-0}} name
  typed=\${typed##* }
  if [ -z "$typed" ]; then typed=$word; fi
  while IFS= read -r name; do
    if [[ $name != "$typed"* ]]; then continue; fi
    printf -v name %q "\${name#"\${typed%"\${typed##*:}"}"}"
    COMPREPLY+=("$name")
  done < <("\${COMP_WORDS[0]}" list --quiet 2>/dev/null)
}
complete -o bashdefault -o default -F _connector connector
`;
}

/** The names with a space around each, so that one of them can be looked up. */
function spaced(flags: Flag[]): string {
  return flags.map((flag) => ` ${flag.name} `).join("");
}

function quoteBash(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

function zshScript(commands: Completion[]): string {
  const [program, ...others] = commands;
  if (!program) throw new TypeError("there is always the program itself");
  const listed = [...others, HELP].map(({ name, summary }) =>
    `    ${quoteBash(`${name}:${summary}`)}`
  );
  const cases = others.map((command) => {
    const args = [
      ...(command.words.length > 0 ? [`1:argument:(${command.words.join(" ")})`] : []),
      ...(command.takesServices
        ? ["*:service:_connector_services"]
        : command.words.length === 0 || command.fileFollows
        ? ["*:file:_files"]
        : []),
    ];
    return `    ${command.name}) _arguments ${
      [...command.flags.map(zshFlag), ...args.map(quoteBash)].join(" \\\n      ")
    } ;;`;
  });
  return `#compdef connector
# zsh completion of connector; made by \`connector completion zsh\`
_connector_services() {
  local -a names
  names=("\${(@f)$(connector list --quiet 2>/dev/null)}")
  compadd -- $names
}
_connector() {
  local -a commands
  commands=(
${listed.join("\n")}
  )
  if (( CURRENT == 2 )); then
    _describe command commands
    _arguments ${program.flags.map(zshFlag).join(" \\\n      ")}
    return
  fi
  local command=$words[2]
  shift words
  (( CURRENT-- ))
  case $command in
${cases.join("\n")}
    help) (( CURRENT == 2 )) && _describe command commands ;;
  esac
}
if [ "$funcstack[1]" = "_connector" ]; then _connector; else compdef _connector connector; fi
`;
}

function zshFlag({ name, description, takesValue, isPath }: Flag): string {
  const text = description.replaceAll(/[[\]\\:]/g, "\\$&");
  const value = isPath ? ":path:_files" : takesValue ? ":value: " : "";
  // A long flag takes its value behind "=", too.
  const assigned = takesValue && name.startsWith("--") ? "=" : "";
  return quoteBash(`${name}${assigned}[${text}]${value}`);
}

function fishScript(commands: Completion[]): string {
  const [, ...others] = commands;
  const lines = commands.flatMap(({ name, flags, words, takesServices }) => {
    const condition = name === "" ? "__fish_use_subcommand" : `__fish_seen_subcommand_from ${name}`;
    const start = `complete -c connector -n ${quoteFish(condition)}`;
    return [
      ...(name === ""
        ? [...others, HELP].map((other) =>
          `${start} -f -a ${other.name} -d ${quoteFish(other.summary)}`
        )
        : words.map((word) => `${start} -f -a ${word}`)),
      ...(takesServices ? [`${start} -f -a '(connector list --quiet 2>/dev/null)'`] : []),
      ...flags.map((flag) => {
        const value = flag.isPath ? " -r -F" : flag.takesValue ? " -x" : "";
        const names = flag.name.startsWith("--")
          ? `-l ${flag.name.slice(2)}`
          : `-s ${flag.name.slice(1)}`;
        return `${start} ${names}${value} -d ${quoteFish(flag.description)}`;
      }),
    ];
  });
  return `# fish completion of connector; made by \`connector completion fish\`
${lines.join("\n")}
`;
}

function quoteFish(text: string): string {
  return `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
}

function powershellScript(commands: Completion[]): string {
  const listed = (command: Completion) =>
    [
      ...(command.name === ""
        ? [...commands.slice(1), HELP].map(({ name, summary }) => [name, summary])
        : command.words.map((word) => [word, word])),
      ...command.flags.map(({ name, description }) => [name, description]),
    ].map(([text = "", meaning = ""]) =>
      `      @(${quotePowershell(text)}, ${quotePowershell(meaning)})`
    );
  const cases = commands.map((command) =>
    `    ${quotePowershell(command.name)} { @(\n${listed(command).join("\n")}\n    ) }`
  );
  const withServices = commands.filter(({ takesServices }) => takesServices)
    .map(({ name }) => quotePowershell(name));
  return `# PowerShell completion of connector; made by \`connector completion powershell\`
Register-ArgumentCompleter -Native -CommandName connector -ScriptBlock {
  param($word, $line, $position)
  # The words before the one that is completed.
  $before = @($line.CommandElements | Where-Object { $_.Extent.EndOffset -lt $position } | ForEach-Object { "$_" })
  $command = if ($before.Count -gt 1) { $before[1] } else { '' }
  $choices = switch ($command) {
${cases.join("\n")}
  }
  $choices | Where-Object { $_[0].StartsWith($word) } | ForEach-Object {
    [System.Management.Automation.CompletionResult]::new($_[0], $_[0], 'ParameterValue', $_[1])
  }
  if (@(${withServices.join(", ")}) -contains $command -and -not $word.StartsWith('-')) {
    connector list --quiet 2>$null | Where-Object { $_.StartsWith($word) } | ForEach-Object {
      # PowerShell takes curly quotation marks for straight ones.
      $text = if ($_ -match '^[A-Za-z0-9_./:-]+$') { $_ } else { "'" + ($_ -replace '[''\\u2018-\\u201b]', '$0$0') + "'" }
      [System.Management.Automation.CompletionResult]::new($text, $_, 'ParameterValue', $_)
    }
  }
}
`;
}

function quotePowershell(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
