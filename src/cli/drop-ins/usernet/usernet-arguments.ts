/** The command line of `limactl usernet`, the daemon of Lima's network `user-v2`, and an option of our own. */
import { parseArgs } from 'node:util';
import { messageOf, UsageError } from '../../../network/errors.ts';

export const DEFAULT_SUBNET: string = '192.168.5.0/24';

export const USERNET_HELP: string = `Usage: hawser usernet -e SOCKET [--listen-qemu SOCKET] [--listen SOCKET] [options]

The daemon of Lima's network user-v2 ("limactl usernet"), by hawser.

  -p, --pidfile FILE      write the process id to this file
  -e, --endpoint SOCKET   Unix socket of the API
      --listen-qemu SOCKET  Unix socket for QEMU, for any number of machines
      --listen SOCKET     Unix socket that takes datagram sockets, one a machine, by SCM_RIGHTS
      --subnet CIDR       the guests' network (default: ${DEFAULT_SUBNET}); gateway, DNS and the host's loopback are its
                          second address
      --mtu N             (default: 1500)
      --leases IP=MAC,... addresses that are kept for these machines
      --sandbox on|strict|off  what the process gives up, as of "hawser run" (default: on)
`;

export interface UsernetArguments {
  readonly pidFile: string | undefined;
  readonly endpoint: string;
  readonly qemuSocket: string | undefined;
  readonly fdSocket: string | undefined;
  readonly subnet: string;
  readonly mtu: string | undefined;
  /** As given: the address, and the Ethernet address. */
  readonly leases: readonly (readonly [address: string, mac: string])[];
  readonly sandbox: string | undefined;
}

const OPTIONS = {
  pidfile: { type: 'string', short: 'p' },
  endpoint: { type: 'string', short: 'e' },
  'listen-qemu': { type: 'string' },
  listen: { type: 'string' },
  subnet: { type: 'string', default: DEFAULT_SUBNET },
  mtu: { type: 'string' },
  leases: { type: 'string', multiple: true },
  sandbox: { type: 'string' },
  help: { type: 'boolean', short: 'h' },
} as const;

/**
 * @returns undefined when help is asked for
 * @throws UsageError
 */
export function parseUsernetArguments(argv: readonly string[]): UsernetArguments | undefined {
  const values = valuesOf(argv);
  if (values.help === true) return undefined;
  const { endpoint = '', subnet, mtu, sandbox } = values;
  if (endpoint === '') throw new UsageError(['-e must name the Unix socket of the API']);
  return {
    pidFile: given(values.pidfile),
    endpoint,
    qemuSocket: given(values['listen-qemu']),
    fdSocket: given(values.listen),
    subnet,
    mtu,
    leases: (values.leases ?? []).flatMap(leasesOf),
    sandbox,
  };
}

type Values = ReturnType<typeof parseArgs<{ options: typeof OPTIONS }>>['values'];

function valuesOf(argv: readonly string[]): Values {
  try {
    return parseArgs({ args: [...argv], options: OPTIONS }).values;
  } catch (error) {
    throw new UsageError([messageOf(error)]);
  }
}

/** An empty value is that of an option that was not given. */
const given = (text: string | undefined): string | undefined => (text === '' ? undefined : text);

function leasesOf(text: string): [string, string][] {
  return text
    .split(',')
    .filter((pair) => pair !== '')
    .map((pair) => {
      const [address = '', mac, more] = pair.split('=');
      if (mac !== undefined && more === undefined) return [address, mac];
      throw new UsageError([`--leases ${pair}: must be IP=MAC`]);
    });
}
