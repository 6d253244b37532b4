/** Carriers to serve a virtual machine's network card, each with a host's loopback behind it. */

import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { VmLinkMode } from '../../src/lab/vm/start-vm.ts';
import { Background } from '../../test/system/support/processes.ts';
import { until } from '../../test/system/support/until.ts';

export interface VmContender {
  readonly name: string;
  readonly mode: VmLinkMode;
  readonly mtus: readonly number[];
  /** The address at which the guest reaches the host's loopback, in its shell. */
  readonly target: string;
  /** Serve cards at `socket`; undefined where QEMU does it itself. */
  readonly argv?: (socket: string, mtu: number) => readonly string[];
}

const MAIN = fileURLToPath(new URL('../../bin/hawser.js', import.meta.url));
const MTUS = [1500, 65_520];
const HOST = '192.168.127.254';
/** passt answers at the address of its own default route, which it gives to the guest. */
const ROUTER = '$(sed "s/.*router=\\([^ ]*\\).*/\\1/" /tmp/lease)';

const hawser =
  (scheme: string) =>
  (socket: string, mtu: number): readonly string[] => [
    ...[process.execPath, MAIN, 'run', '--listen', `${scheme}:${socket}`, '--mtu', String(mtu)],
    ...['--log-level', 'warn', '--api', `unix:${socket}.api`],
  ];

/** The first is what the others are compared with. */
export const CONTENDERS: readonly VmContender[] = [
  { name: 'hawser qemu:', mode: 'connect', mtus: MTUS, target: HOST, argv: hawser('qemu') },
  {
    name: 'hawser vhost-user:',
    mode: 'vhost-user',
    mtus: MTUS,
    target: HOST,
    argv: hawser('vhost-user'),
  },
  {
    name: 'passt -s',
    mode: 'connect',
    mtus: MTUS,
    target: ROUTER,
    argv: (socket, mtu) => [
      ...['passt', '-f', '-q', '--runas', '0', '-4', '-s', socket, '-m', String(mtu)],
    ],
  },
  { name: 'QEMU -netdev user', mode: 'user', mtus: [1500], target: '10.0.2.2' },
];

/** @returns the daemon, listening; undefined where there is none */
export async function serve(
  { argv, name }: VmContender,
  socket: string,
  mtu: number,
): Promise<Background | undefined> {
  if (argv === undefined) return undefined;
  const daemon = new Background(argv(socket, mtu), {});
  await until(`${name} to listen`, () => {
    if (!daemon.isRunning) throw new Error(`${name} ended: ${daemon.stderr.slice(-500)}`);
    return existsSync(socket);
  });
  return daemon;
}
