/**
 * A lab: network namespaces of its own, with real kernels, clients and servers in them.
 *
 *     outside ---- veth ---- host (lo, the daemon, servers) ---- hawser link ---- guest, guest ...
 *
 * | where | address |
 * |---|---|
 * | host's loopback | 127.0.0.1, for guests 192.168.127.254 |
 * | host | 198.18.0.10/24 |
 * | outside | 198.18.0.1/24; the host's default route |
 * | nowhere | 203.0.113.0/24: the host's kernel says unreachable |
 *
 * Everything ends with the lab: processes by id, namespaces by name.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { tool } from '../../../bench/rig/tools.ts';
import type { LeaseInfo } from '../../../src/lab/guest/embedded-guest.ts';
import { type DhcpClient, KernelGuest } from '../../../src/lab/guest/kernel-guest.ts';
import { Daemon } from './daemon.ts';
import {
  Background,
  type CommandResult,
  command,
  type SpawnOptions,
  succeed,
} from './processes.ts';

export const GATEWAY = '192.168.127.1';
export const HOST = '192.168.127.254';
export const HOST_OUTER = '198.18.0.10';
export const OUTSIDE = '198.18.0.1';
export const NOWHERE = '203.0.113.9';
export const HTTP_PORT = 8000;

const SERVER = fileURLToPath(new URL('./server-main.js', import.meta.url));
const SYSCTLS = {
  'net.ipv4.ping_group_range': '0 2147483647',
  // A connection out may have any of these: the ports that tests publish are below, or reserved.
  'net.ipv4.ip_local_port_range': '31000 65000',
  'net.ipv4.ip_local_reserved_ports': '42022,60022',
  'net.ipv4.tcp_max_tw_buckets': '4096',
  'net.core.somaxconn': '4096',
} as const;

let count = 0;

export class Namespace {
  readonly name: string;
  protected readonly lab: Lab;

  constructor(lab: Lab, name: string) {
    this.lab = lab;
    this.name = name;
  }

  get path(): string {
    return `/run/netns/${this.name}`;
  }

  enter(argv: readonly string[]): readonly string[] {
    return ['nsenter', `--net=${this.path}`, '--', ...argv];
  }

  /** Run to the end. @throws when it fails. @returns stdout */
  run(...argv: string[]): Promise<string> {
    return succeed(this.enter(argv));
  }

  /** Run to the end, however it ends. */
  try(...argv: string[]): Promise<CommandResult> {
    return command(this.enter(argv));
  }

  start(argv: readonly string[], options: SpawnOptions = {}): Background {
    return this.lab.track(new Background(this.enter(argv), options));
  }
}

/** How tapbridge connects where each message is a frame. */
export interface MessageBridge {
  readonly kind: 'bess' | 'vfkit' | 'dgram' | 'fd';
  /** The path of its own socket. */
  readonly own?: string;
  /** Checksums and segmentation are left undone, without a word. */
  readonly undone?: boolean;
}

export interface GuestOptions {
  /** Undefined: a `tap:` link of the daemon's. Else through tapbridge to this socket, of qemu: or as `messages` says. */
  readonly bridgeTo?: string;
  readonly messages?: MessageBridge | undefined;
  readonly mtu?: number;
  /** For tapbridge: `LOSS_PERMILLE,DELAY_US,JITTER_US,REORDER_PERMILLE,SEED`. */
  readonly impair?: string;
  /** For tapbridge: `qemu`, `u16` or `vmn3t=UUID`. */
  readonly framing?: string;
  readonly client?: DhcpClient;
}

export class Guest extends Namespace {
  readonly link: string;
  private readonly options: GuestOptions;
  private kernel: KernelGuest | undefined;

  constructor(lab: Lab, name: string, options: GuestOptions) {
    super(lab, name);
    this.options = options;
    this.link = `tap:eth0@${name}`;
  }

  /** Put the bridge in place of QEMU. With a `tap:` link the daemon does it. */
  async plug(): Promise<Background | undefined> {
    const { bridgeTo, impair, messages } = this.options;
    if (bridgeTo === undefined) return undefined;
    const args = ['-R', '-c', bridgeTo];
    if (impair !== undefined) args.push('-I', impair);
    if (messages !== undefined) args.push('-k', messages.kind);
    if (messages?.own !== undefined) args.push('-o', messages.own);
    if (messages?.undone === true) args.push('-O');
    return await this.bridge(args);
  }

  /** Start a bridge. @param args where to */
  async bridge(args: readonly string[], options: SpawnOptions = {}): Promise<Background> {
    const { mtu = 1500, framing = 'qemu' } = this.options;
    const device = ['-n', this.path, '-t', 'eth0', '-m', String(mtu), '-F', framing];
    const argv = [tool('tapbridge'), ...device, ...args];
    const bridge = this.lab.track(new Background(argv, options));
    await bridge.prints(/^ready$/m);
    return bridge;
  }

  /** Get a lease with a real DHCP client, which stays to renew it. */
  async lease(): Promise<LeaseInfo> {
    await this.kernel?.close();
    this.kernel = new KernelGuest(
      {
        kind: 'tap',
        about: this.name,
        link: this.link,
        ifName: 'eth0',
        enter: (argv) => this.enter(argv),
        remove: () => {},
      },
      this.options.client,
    );
    return await this.kernel.lease();
  }

  async close(): Promise<void> {
    await this.kernel?.close();
  }
}

/** A command that sees `etc` as /etc, in a mount namespace of its own. */
export const withEtc = (etc: string, argv: readonly string[]): readonly string[] => [
  ...['unshare', '--mount', '--propagation', 'private', 'sh', '-c'],
  ...['mount --bind "$0" /etc && exec "$@"', etc, ...argv],
];

export class Lab {
  readonly dir: string;
  readonly host: Namespace;
  readonly outside: Namespace;
  private readonly prefix: string;
  private readonly names: string[] = [];
  private readonly processes: Background[] = [];
  private readonly guests: Guest[] = [];

  private constructor() {
    this.prefix = `hawser-t${process.pid}-${++count}`;
    this.dir = mkdtempSync(join(tmpdir(), 'hawser-lab-'));
    this.host = new Namespace(this, this.name('h'));
    this.outside = new Namespace(this, this.name('o'));
  }

  static async open(): Promise<Lab> {
    const lab = new Lab();
    try {
      await lab.build();
    } catch (error) {
      await lab.close();
      throw error;
    }
    return lab;
  }

  private name(suffix: string): string {
    const name = `${this.prefix}${suffix}`;
    this.names.push(name);
    return name;
  }

  private async build(): Promise<void> {
    const { host, outside } = this;
    await this.addNamespace(host.name);
    await this.addNamespace(outside.name);
    await succeed([
      'ip',
      '-n',
      host.name,
      'link',
      'add',
      'up0',
      'type',
      'veth',
      'peer',
      'name',
      'up0',
      'netns',
      outside.name,
    ]);
    const plan = [
      [host.name, ['addr', 'add', `${HOST_OUTER}/24`, 'dev', 'up0']],
      [outside.name, ['addr', 'add', `${OUTSIDE}/24`, 'dev', 'up0']],
      [host.name, ['link', 'set', 'up0', 'up']],
      [outside.name, ['link', 'set', 'up0', 'up']],
      [host.name, ['route', 'add', 'default', 'via', OUTSIDE]],
      [host.name, ['route', 'add', 'unreachable', '203.0.113.0/24']],
    ] as const;
    for (const [name, args] of plan) await succeed(['ip', '-n', name, ...args]);
  }

  private async addNamespace(name: string): Promise<void> {
    await succeed(['ip', 'netns', 'add', name]);
    await succeed(['ip', '-n', name, 'link', 'set', 'lo', 'up']);
    const settings = Object.entries(SYSCTLS).map(([key, value]) => `${key}=${value}`);
    await succeed(['nsenter', `--net=/run/netns/${name}`, 'sysctl', '-qw', ...settings]);
  }

  track(process: Background): Background {
    this.processes.push(process);
    return process;
  }

  path(name: string): string {
    return join(this.dir, name);
  }

  /** A namespace for a guest, empty until its link exists. */
  async addGuest(options: GuestOptions = {}): Promise<Guest> {
    const guest = new Guest(this, this.name(`g${this.guests.length}`), options);
    this.guests.push(guest);
    await this.addNamespace(guest.name);
    return guest;
  }

  /** The servers of `server-main.ts`. */
  async startServers(
    where: Namespace,
    address = '0.0.0.0',
    port: number = HTTP_PORT,
  ): Promise<Background> {
    const server = where.start([process.execPath, SERVER, address, String(port)]);
    await server.prints(/serving/);
    return server;
  }

  /** `hawser run` in the host namespace, ready. */
  async startDaemon(
    args: readonly string[],
    etc?: string,
    environment?: Readonly<Record<string, string>>,
  ): Promise<Daemon> {
    const daemon = this.spawnDaemon(args, etc, environment);
    await daemon.ready();
    return daemon;
  }

  /** @param etc a directory that the daemon, and nobody else, sees as /etc */
  spawnDaemon(
    args: readonly string[],
    etc?: string,
    environment: Readonly<Record<string, string>> = {},
  ): Daemon {
    const env = { XDG_RUNTIME_DIR: this.dir, ...environment };
    const argv = etc === undefined ? Daemon.command(args) : withEtc(etc, Daemon.command(args));
    const daemon = new Daemon(this.host.enter(argv), env, this.path('hawser'));
    this.track(daemon);
    return daemon;
  }

  /** A daemon with one guest on a `tap:` link that has its lease, and the servers on the host. */
  async standard(args: readonly string[] = []): Promise<{ daemon: Daemon; guest: Guest }> {
    const guest = await this.addGuest();
    await this.startServers(this.host);
    const daemon = await this.startDaemon(['--listen', guest.link, ...args]);
    await guest.lease();
    return { daemon, guest };
  }

  async close(): Promise<void> {
    for (const guest of this.guests) await guest.close();
    await Promise.all(this.processes.map((process) => process.stop()));
    for (const name of this.names) await command(['ip', 'netns', 'del', name]);
    rmSync(this.dir, { recursive: true, force: true });
  }
}
