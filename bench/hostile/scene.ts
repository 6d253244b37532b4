/**
 * Where attacks are measured: a host with servers of its own, the daemon, a good guest and a hostile one.
 *
 *     host: lo (echo, DNS), a black hole, the daemon ---- qemu: socket ---- tapbridge ---- the good guest, a kernel
 *                                               \---- qemu: socket ---- the attacker
 *
 * Two CPUs suffice. The good guest, its servers and what measures have a higher priority than daemon and attacker, whose
 * priorities are the same: what the good guest waits for is the daemon.
 */
import { join } from 'node:path';
import { KernelGuest } from '../../src/lab/guest/kernel-guest.ts';
import { attachBridge, TAP } from '../peers/bridged.ts';
import type { Lab } from '../rig/lab.ts';
import { listensNear } from '../rig/proc.ts';
import type { Running } from '../rig/running.ts';
import { PACKAGE_ROOT, tool } from '../rig/tools.ts';
import { waitFor } from '../rig/wait.ts';
import { type Attack, DESCRIPTORS } from './attacks.ts';
import { DaemonWatch, type Left } from './daemon-watch.ts';
import { Steady } from './steady.ts';

/** For `nice`: the daemon, below what measures; attackers, below the daemon, for how a host shares its CPUs is not measured. */
const DAEMON = '5';
const ATTACKER = '9';
/** For the daemon's Node, separated by spaces: a profile, say. */
const NODE_ARGS = (process.env['DAEMON_NODE_ARGS'] ?? '').split(' ').filter(Boolean);
/** Of the build itself: its sandbox reads no other. */
const PROBE = 'dist/bench/hostile/probe.js';
const READY_FD = 3;
const PROBE_FD = 4;
const PORTS = { good: 5300, evil: 5400, source: 5401, dns: 5353, agent: 5600 } as const;
const HOLE = '198.18.1.1/24';
const MTU = 1500;
const RATE = 50;

export interface SceneOptions {
  /** Of the package whose daemon is measured. */
  readonly root?: string;
  /** `ulimit -n` of the daemon. */
  readonly descriptors?: number;
  /** More options of `hawser run`. */
  readonly args?: readonly string[];
}

export class Scene {
  readonly lab: Lab;
  readonly watch: DaemonWatch;
  readonly steady: Steady;
  private readonly kernel: KernelGuest;
  /** The good guest's address. */
  private readonly address: string;

  private constructor(lab: Lab, parts: Pick<Scene, 'watch' | 'steady'> & Leased) {
    this.lab = lab;
    this.watch = parts.watch;
    this.steady = parts.steady;
    this.kernel = parts.kernel;
    this.address = parts.address;
  }

  /** Of the daemon, now, but for the good guest's sockets. Once it has ended: nothing. */
  async leftByOthers(): Promise<Left> {
    const { watch } = this;
    if (watch.isRunning) return await watch.leftByOthers(this.address);
    return { ...watch.current(), links: 0 };
  }

  /** The good guest has its lease and its traffic is on its way when this resolves. @param lab new; its owner closes it after the scene */
  static async open(lab: Lab, options: SceneOptions = {}): Promise<Scene> {
    lab.build();
    lab.host.ip(
      'link add hole type veth peer name hole1',
      'link set hole1 up',
      `addr add ${HOLE} dev hole`,
      'link set hole arp off up',
    );
    await startServers(lab);
    const { descriptors = DESCRIPTORS } = options;
    const daemon = startDaemon(lab, { ...options, descriptors });
    await daemon.says(READY_FD);
    await attachBridge(lab, MTU, lab.path('good.sock'), daemon);
    const leased = await leaseAddress(lab);
    const argv = ['192.168.127.254', `${PORTS.good}`, '192.168.127.1', `${RATE}`];
    const steady = new Steady(lab.start(lab.guest, [tool('steady'), ...argv]));
    const api = lab.path('hawser/default/api.sock');
    const watch = new DaemonWatch(daemon, { probeFd: PROBE_FD, api, descriptors });
    return new Scene(lab, { watch, steady, ...leased });
  }

  /** @returns the attacker, attached and at work */
  async attack(attack: Attack): Promise<readonly Running[]> {
    if (attack.channels !== undefined) return await this.openChannels(attack.channels);
    return [await this.send(attack, ['-c', this.lab.path('evil.sock')])];
  }

  /** The machine as busy as by an attack, with nothing in it for the daemon. */
  async beBusy(): Promise<readonly Running[]> {
    return [await this.send({ name: 'busy', about: '', frames: 'udp-ports' }, ['-s'])];
  }

  async close(): Promise<void> {
    this.watch.close();
    await this.kernel.close();
  }

  private async send(attack: Attack, target: readonly string[]): Promise<Running> {
    const about = ['-a', attack.frames ?? attack.name, '-n', `${attack.links ?? 1}`];
    const argv = [tool('attacker'), ...target, ...about, '-v', this.address];
    const attacker = this.lab.start(this.lab.host, ['nice', '-n', ATTACKER, ...argv]);
    await attacker.prints(/ready/);
    return attacker;
  }

  private async openChannels(count: number): Promise<readonly Running[]> {
    const { lab } = this;
    const main = join(PACKAGE_ROOT, 'dist/bin/hawser.js');
    const lower = ['nice', '-n', ATTACKER];
    const forward = `tcp:127.0.0.1:${PORTS.agent}=tcp:127.0.0.1:${PORTS.evil}`;
    const connect = ['--connect', `unix:${lab.path('mux.sock')}`, '--forward-to-host', forward];
    const agent = lab.start(lab.host, [...lower, process.execPath, main, 'agent', ...connect]);
    await waitFor('the agent', () => listensNear(agent.pid, PORTS.agent));
    const hoard = [tool('target'), 'hoard', `${PORTS.agent}`, `${count}`];
    return [lab.start(lab.host, [...lower, ...hoard]), agent];
  }
}

interface Leased {
  readonly kernel: KernelGuest;
  readonly address: string;
}

async function startServers(lab: Lab): Promise<void> {
  const servers: [string, readonly string[], number][] = [
    ['0', [tool('netbench'), 'srv', `${PORTS.good}`], PORTS.good],
    [ATTACKER, [tool('netbench'), 'srv', `${PORTS.evil}`], PORTS.evil],
    [ATTACKER, [tool('target'), 'source', `${PORTS.source}`], PORTS.source],
  ];
  lab.start(lab.host, [tool('target'), 'dns', `${PORTS.dns}`]);
  for (const [nice, argv, port] of servers) {
    const server = lab.start(lab.host, ['nice', '-n', nice, ...argv]);
    await waitFor(`a server on port ${port}`, () => listensNear(server.pid, port));
  }
}

function startDaemon(lab: Lab, options: SceneOptions): Running {
  const { root = PACKAGE_ROOT, descriptors = DESCRIPTORS, args = [] } = options;
  const main = join(root, 'dist/bin/hawser.js');
  return lab.start(
    lab.host,
    [
      ...['nice', '-n', DAEMON, 'prlimit', `--nofile=${descriptors}`, process.execPath],
      ...[...NODE_ARGS, main, 'run'],
      ...['--ready-fd', `${READY_FD}`, '--log-format', 'json'],
      ...['--listen', `qemu:${lab.path('good.sock')}`, '--listen', `qemu:${lab.path('evil.sock')}`],
      ...['--dns', `127.0.0.1#${PORTS.dns}`, '--guest-api', 'on'],
      ...['--mux', `unix:${lab.path('mux.sock')}`, '--mux-allow', `tcp:127.0.0.1:${PORTS.evil}`],
      ...args,
    ],
    {
      env: {
        XDG_RUNTIME_DIR: lab.dir,
        NODE_OPTIONS: `--import=${join(root, PROBE)}`,
        HAWSER_PROBE_FD: `${PROBE_FD}`,
      },
      extraPipes: 2,
    },
  );
}

async function leaseAddress({ guest }: Lab): Promise<Leased> {
  const kernel = new KernelGuest({
    kind: 'tap',
    about: guest.name,
    link: undefined,
    ifName: TAP,
    enter: (argv) => guest.enter(argv),
    remove: () => {},
  });
  const { address } = await kernel.lease();
  return { kernel, address };
}
