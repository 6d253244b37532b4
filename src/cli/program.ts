/**
 * The commands of `hawser`, and their exit status. Commands are loaded when they are
 * called, so that `--help` and errors of usage are quick.
 *
 * Exit status: 0 for a wanted end, 1 for a failure while running, 2 for bad usage.
 */
import { Argument, Command, CommanderError, Option } from 'commander';
import { EXIT_USAGE } from '../network/errors.ts';
import { packageVersion } from '../network/version.ts';
import type { Shell } from './completion.ts';
import { keepOnSignals } from './early-signals.ts';
import { exitStatusOf } from './exit-status.ts';
import { type OptionRow, RUN_OPTIONS } from './option-table.ts';
import { printOutput } from './output.ts';

/** Of `hawser run`, those that the demo decides itself or that are for launchers. */
const NOT_IN_DEMO: ReadonlySet<string> = new Set([
  'pidFile',
  'readyFd',
  'exitWithGuest',
  'guestTimeout',
  'exitWithParent',
  'exitWithReadyFd',
  'logFile',
  'user',
  'sandbox',
  'sandboxAllow',
]);

const EXAMPLES = `
Examples:
  hawser run                       one network for QEMU guests, on the default socket
  hawser run -l qemu:/tmp/vm.sock -p 8080:80
  qemu-system-x86_64 ... -netdev stream,id=n,server=off,addr.type=unix,addr.path=/tmp/vm.sock \\
                         -device virtio-net-pci,netdev=n
  hawser status                    what the running daemon does
Exit status: 0 after SIGTERM, SIGINT or a wanted end; 1 when it failed; 2 for bad usage.`;

const DEMO_GUESTS = `
Environment:
  HAWSER_DEMO_GUEST                the guest, without --vm: tap (a kernel in a network namespace, needs root),
                                   packet (the same in a user namespace, needs no root) or
                                   simulated (in this process); default: the first that can be had`;

let status = 0;

function option(row: OptionRow): Option {
  const made = new Option(row.flags, row.description);
  if (row.repeatable) {
    made.argParser((value: string, before: readonly string[] | undefined) => [
      ...(before ?? []),
      value,
    ]);
  }
  return made;
}

function addRunOptions(command: Command, isTaken: (row: OptionRow) => boolean): void {
  for (const row of RUN_OPTIONS.filter(isTaken)) command.addOption(option(row));
  command.option('-c, --config <file>', 'the same options in YAML, with camelCase keys');
}

/** The options of the table that were given. */
function typedOptions(command: Command): Record<string, unknown> {
  return Object.fromEntries(
    RUN_OPTIONS.filter(({ key }) => command.getOptionValueSource(key) === 'cli').map(
      ({ key }): [string, unknown] => [key, command.getOptionValue(key)],
    ),
  );
}

function textOption(command: Command, key: string): string | undefined {
  const value: unknown = command.getOptionValue(key);
  return typeof value === 'string' ? value : undefined;
}

const isSet = (command: Command, key: string): boolean => command.getOptionValue(key) === true;

function addDaemonCommands(program: Command): void {
  const run = program.command('run').description('connect guests to the network of this host');
  addRunOptions(run, () => true);
  run.option('--print-config', 'print the effective configuration as YAML, and end');
  run.addHelpText('after', EXAMPLES).action(async () => {
    const { runCommand } = await import('./commands/run.ts');
    status = await runCommand({
      commandLine: typedOptions(run),
      config: textOption(run, 'config'),
      printConfig: isSet(run, 'printConfig'),
      onListening: keepOnSignals,
    });
  });

  const demo = program.command('demo').description('a network, a guest in it, and a self-check');
  demo.option('--once', 'end after the self-check: 0 when every step passed, else 1');
  demo.option('--vm', 'use a real QEMU VM as the guest');
  demo.option('--size <MiB>', 'size of each transfer (default: 256)');
  demo.option('--json', 'report each step as a line of JSON');
  addRunOptions(demo, ({ key }) => !NOT_IN_DEMO.has(key));
  demo.addHelpText('after', DEMO_GUESTS).action(async () => {
    const { demoCommand } = await import('./commands/demo.ts');
    status = await demoCommand({
      commandLine: typedOptions(demo),
      config: textOption(demo, 'config'),
      once: isSet(demo, 'once'),
      vm: isSet(demo, 'vm'),
      size: textOption(demo, 'size'),
      json: isSet(demo, 'json'),
    });
  });
}

function inspectCommand(program: Command, name: string, description: string): Command {
  return program
    .command(name)
    .description(description)
    .option('--name <name>', 'instance', 'default')
    .option('--api <where>', "the daemon's control API: unix:PATH or tcp:IP:PORT")
    .option('--api-token-file <file>', 'bearer token for an API over TCP')
    .option('--json', 'for programs');
}

const inspectRequest = (command: Command) => ({
  name: textOption(command, 'name') ?? 'default',
  api: textOption(command, 'api'),
  apiTokenFile: textOption(command, 'apiTokenFile'),
  json: isSet(command, 'json'),
});

const withFilter = (command: Command): Command =>
  command
    .option('--protocol <protocol>', 'only tcp, udp, icmp or unix')
    .option(
      '--guest <guest>',
      'only those of this guest: its address, id, or the name of its lease',
    )
    .option('--remote <ip>', 'only those to or from this address or network')
    .option('--port <n>', 'only those with this port, at either end')
    .option('--to <name>', 'only those to this name, or below it: *.example.com')
    .option('--publication <id>', 'only those of this published port');

const filterOf = (command: Command) => ({
  protocol: textOption(command, 'protocol'),
  guest: textOption(command, 'guest'),
  remote: textOption(command, 'remote'),
  port: textOption(command, 'port'),
  to: textOption(command, 'to'),
  publication: textOption(command, 'publication'),
});

function addInspectCommands(program: Command): void {
  const load = () => import('./commands/inspect.ts');
  const showStatus = inspectCommand(
    program,
    'status',
    'what a running daemon does, and its guests',
  );
  showStatus.action(async () => {
    printOutput(await (await load()).statusCommand(inspectRequest(showStatus)));
  });

  const flows = withFilter(
    inspectCommand(program, 'flows', 'connections, UDP mappings and clients, pings, channels'),
  )
    .option('--limit <n>', 'at most so many (default: 1000)')
    .option('--follow', 'print what opens, ends or is refused, until interrupted');
  flows.action(async () => {
    const { flowsCommand, followFlows } = await import('./commands/flows.ts');
    const filter = { ...filterOf(flows), limit: textOption(flows, 'limit') };
    const request = { ...inspectRequest(flows), filter };
    if (isSet(flows, 'follow')) await followFlows(request, printOutput);
    else printOutput(await flowsCommand(request));
  });

  const events = withFilter(
    inspectCommand(program, 'events', 'what has happened: guests, leases, ports, agents'),
  )
    .option(
      '--types <types>',
      'only these, with commas: guest, lease, port, flow, block, verdict, mux, limit, conflict, dns',
    )
    .option('--follow', 'print what happens, flows and refusals too, until interrupted')
    .option('--after <id>', 'only what is behind the event of this id');
  events.action(async () => {
    const { eventsCommand, followEvents } = await import('./commands/events.ts');
    const types = textOption(events, 'types');
    const after = textOption(events, 'after');
    const request = { ...inspectRequest(events), filter: filterOf(events), types, after };
    if (isSet(events, 'follow')) await followEvents(request, printOutput);
    else printOutput(await eventsCommand(request));
  });

  const stop = inspectCommand(program, 'stop', 'end a running daemon, and wait until it has');
  stop.action(async () => {
    const { stopCommand } = await import('./commands/stop.ts');
    printOutput(await stopCommand(inspectRequest(stop)));
  });

  const leases = inspectCommand(program, 'leases', 'DHCP leases');
  leases.action(async () => {
    printOutput(await (await load()).leasesCommand(inspectRequest(leases)));
  });
}

function addPortCommands(program: Command): void {
  const load = () => import('./commands/ports.ts');
  const expose = inspectCommand(program, 'expose', 'publish ports of a guest on this host')
    .argument('<port...>', 'as of "hawser run -p"')
    .option('--source-address <how>', "what the guest's server sees: preserve or gateway")
    .option('--proxy-protocol <version>', 'send the PROXY protocol before the data: v1 or v2')
    .option('--via <carrier>', 'net, or mux: through the agent in the guest');
  expose.action(async () => {
    const { exposeCommand } = await load();
    const how = {
      ports: expose.args,
      sourceAddress: textOption(expose, 'sourceAddress'),
      proxyProtocol: textOption(expose, 'proxyProtocol'),
      via: textOption(expose, 'via'),
    };
    printOutput(await exposeCommand({ ...inspectRequest(expose), ...how }));
  });

  const unexpose = inspectCommand(program, 'unexpose', 'withdraw published ports').argument(
    '<port...>',
    '[HOSTIP:]HOSTPORT[/tcp|udp], a range FIRST-LAST of them, unix:PATH, or the id that "hawser ports" shows',
  );
  unexpose.action(async () => {
    const { unexposeCommand } = await load();
    const request = { ...inspectRequest(unexpose), ports: unexpose.args };
    printOutput(await unexposeCommand(request));
  });

  const ports = inspectCommand(program, 'ports', 'published ports');
  ports.action(async () => {
    printOutput(await (await load()).portsCommand(inspectRequest(ports)));
  });
}

function addDnsCommand(program: Command): void {
  const dns = inspectCommand(program, 'dns', "names of the gateway's DNS: list, add, remove")
    .argument('<action>', 'list, add NAME IP, or remove NAME [IP]')
    .argument('[arguments...]');
  dns.action(async () => {
    const { dnsCommand } = await import('./commands/dns.ts');
    printOutput(await dnsCommand({ ...inspectRequest(dns), args: dns.args }));
  });
}

function addPolicyCommand(program: Command): void {
  const policy = inspectCommand(program, 'policy', 'where guests may go: show, change, ask')
    .argument(
      '<action>',
      'show, set FILE, clear, allow RULE, deny RULE, test GUEST DESTINATION, denials, approve ID, suggest [GUEST], or schema',
    )
    .argument('[arguments...]')
    .option('--guest <name>', 'of allow and deny: for this guest alone, a link or a static lease')
    .option('--for <time>', 'of allow, deny and approve: for so long, such as 10m')
    .option('--any-guest', 'of approve: for all guests')
    .option('--any-port', 'of approve: of every port and protocol')
    .option('--port <port>', 'of approve: of these instead, such as 443/tcp')
    .option('--protocol <protocol>', 'of test: tcp, udp or icmp (default: tcp)');
  policy.action(async () => {
    const { policyCommand } = await import('./commands/policy.ts');
    const answer = await policyCommand({
      ...inspectRequest(policy),
      args: policy.args,
      guest: textOption(policy, 'guest'),
      for: textOption(policy, 'for'),
      protocol: textOption(policy, 'protocol'),
      port: textOption(policy, 'port'),
      anyGuest: policy.getOptionValue('anyGuest') === true,
      anyPort: policy.getOptionValue('anyPort') === true,
    });
    printOutput(answer.text);
    status = answer.status;
  });
}

/** Its arguments are read by the program that it also is. */
function addAgentCommand(program: Command): void {
  const agent = program
    .command('agent')
    .description("the guest's end of the multiplexer: dial inside the guest, forward to the host")
    .helpOption(false)
    .allowUnknownOption()
    .passThroughOptions()
    .argument('[arguments...]');
  agent.action(async () => {
    const { agentCommand } = await import('./commands/agent.ts');
    status = await agentCommand(agent.args);
  });
}

/** Its arguments are those of `limactl usernet`. */
function addUsernetCommand(program: Command): void {
  const usernet = program
    .command('usernet')
    .description("the daemon of Lima's network user-v2")
    .helpOption(false)
    .allowUnknownOption()
    .passThroughOptions()
    .argument('[arguments...]');
  usernet.action(async () => {
    const [{ runDropIn }, { USERNET }] = await Promise.all([
      import('./drop-ins/drop-in.ts'),
      import('./drop-ins/usernet/usernet.ts'),
    ]);
    status = await runDropIn(USERNET, usernet.args, keepOnSignals);
  });
}

function addBenchCommand(program: Command): void {
  const bench = program
    .command('bench')
    .description('hawser beside the peers that are on PATH: a table, JSON and charts (root)')
    .option('--quick', '1 repetition, 2 s a case, MTU 1500, fewer cases')
    .option('--list', 'show peers and cases, and end')
    .option('--peers <names>', 'only these, separated by commas')
    .option('--cases <names>', 'only these, separated by commas')
    .option('--mtu <bytes>', 'of the guest, separated by commas (default: 1500,65520)')
    .option('--duration <s>', 'of a case (default: 5)')
    .option('--repetitions <n>', 'of everything (default: 3)')
    .option('--out <dir>', 'for the results (default: bench/results/full, quick or part)');
  bench.action(async () => {
    const { benchCommand } = await import('./commands/bench.ts');
    status = await benchCommand({
      quick: isSet(bench, 'quick'),
      list: isSet(bench, 'list'),
      peers: textOption(bench, 'peers'),
      cases: textOption(bench, 'cases'),
      mtu: textOption(bench, 'mtu'),
      duration: textOption(bench, 'duration'),
      repetitions: textOption(bench, 'repetitions'),
      out: textOption(bench, 'out'),
    });
  });
}

/** About the program itself. */
function addMetaCommands(program: Command): void {
  const version = program
    .command('version')
    .description('versions of hawser and of what it runs on')
    .option('--json', 'for programs');
  version.action(async () => {
    const { versionCommand } = await import('./commands/version.ts');
    printOutput(versionCommand(isSet(version, 'json')));
  });

  const completion = program
    .command('completion')
    .description('a script that completes hawser in your shell: eval "$(hawser completion bash)"')
    .addArgument(new Argument('<shell>').choices(['bash', 'zsh', 'fish']));
  completion.action(async (shell: Shell) => {
    const { completionScript } = await import('./completion.ts');
    printOutput(completionScript(shell, program));
  });
}

/** Completion and manual pages are made of it, too. */
export function makeProgram(): Command {
  const program = new Command('hawser')
    .description('A network for virtual machines, in user space: no root, no bridge.')
    .version(packageVersion())
    .enablePositionalOptions() // those after `agent` are its own
    .exitOverride()
    .configureOutput({
      writeOut: printOutput,
      outputError: (text, write) => write(text.replace(/^error: /, 'hawser: ')),
    })
    .showHelpAfterError('Try --help.');
  addDaemonCommands(program);
  addInspectCommands(program);
  addPortCommands(program);
  addPolicyCommand(program);
  addDnsCommand(program);
  addAgentCommand(program);
  addUsernetCommand(program);
  addBenchCommand(program);
  addMetaCommands(program);
  return program;
}

/** @returns the exit status */
export async function runProgram(): Promise<number> {
  return await exitStatusOf(async () => {
    try {
      await makeProgram().parseAsync();
    } catch (error) {
      if (!(error instanceof CommanderError)) throw error;
      return error.exitCode === 0 ? 0 : EXIT_USAGE;
    }
    return status;
  });
}
