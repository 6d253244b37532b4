/** The program: from a command line to a served port, and its end. */
import { END_SIGNALS } from '../early-signals.ts';
import { parseArguments } from './arguments.ts';
import { DockerProxy } from './docker-proxy.ts';
import { StatusPipe } from './status-pipe.ts';

const HELP = `Usage: hawser-docker-proxy -proto tcp|udp -host-ip IP -host-port PORT
                           -container-ip IP -container-port PORT [-use-listen-fd]
       hawser-docker-proxy -prepare PID

For dockerd: dockerd --userland-proxy-path=/path/to/hawser-docker-proxy
Publishes a container's port on the host of this virtual machine, for as long as it runs. With -prepare it starts what
all proxies of the dockerd with that process id share, so that the first of them is as quick as the others.

Options that dockerd does not give, and the variables to set in dockerd's environment instead:
  -control WHERE              HAWSER_CONTROL             http://IP[:PORT], unix:PATH or agent:PATH;
                                                         default: the agent's socket $XDG_RUNTIME_DIR/hawser/agent.sock
                                                         (/run/hawser/agent.sock) if it is there, then the guest API
                                                         at the gateway
  -control-token-file FILE    HAWSER_CONTROL_TOKEN_FILE  bearer token for an API over TCP
  -local best-effort|always|never
                              HAWSER_LOCAL               listen inside the guest too: if possible (default);
                              and serve there alone while hawser cannot be reached; or not at all
  -source-address preserve|gateway
                              HAWSER_SOURCE_ADDRESS      the source that the container sees: the real client (default);
                                                         by the agent it sees docker0's address in any case
`;
const PARENT_CHECK_MS = 2_000;

/** Resolves, with the exit status, only when there is nothing to serve. */
export async function runDockerProxy(argv: readonly string[]): Promise<number> {
  const status = new StatusPipe();
  const say = (line: string): void => {
    process.stderr.write(`hawser-docker-proxy: ${line}\n`);
  };
  process.stderr.on('error', () => {});
  const fail = (message: string): number => {
    status.fail(message);
    say(message);
    return 1;
  };
  leaveWithParent();
  const parsed = parseArguments(argv, process.env);
  if (parsed.kind === 'bad') {
    fail(parsed.problem);
    return 2;
  }
  if (parsed.kind === 'help') {
    process.stdout.write(HELP);
    return 0;
  }
  if (parsed.kind === 'version') {
    const { packageVersion } = await import('../../network/version.ts');
    process.stdout.write(`hawser-docker-proxy ${packageVersion()}\n`);
    return 0;
  }
  try {
    const proxy = new DockerProxy(parsed.request, say);
    await proxy.start();
    status.ok();
  } catch (error) {
    return fail(error instanceof Error ? error.message : String(error));
  }
  return await new Promise<never>(() => {});
}

/**
 * dockerd sends SIGINT, then waits without a bound; and asks the kernel for SIGTERM at its own death,
 * which a wrapper that forks would keep from us. The kernel closes everything, the lease too.
 */
function leaveWithParent(): void {
  for (const signal of [...END_SIGNALS, 'SIGHUP'] as const) {
    process.on(signal, () => process.exit(0));
  }
  const parent = process.ppid;
  setInterval(() => {
    if (process.ppid !== parent) process.exit(0);
  }, PARENT_CHECK_MS);
}
