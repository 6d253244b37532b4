/**
 * A guest that is a real Linux kernel: this machine's, in a network namespace of its own. The creator
 * of the namespace defines how to run a program in it; lease, resolver, ping and transfers are
 * programs run there.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { distFile } from '../../network/own-files.ts';
import { onPath } from '../on-path.ts';
import type {
  EmbeddedGuest,
  GuestAcceptor,
  LeaseInfo,
  OnProgress,
  Transfer,
} from './embedded-guest.ts';
import { firstAnswer } from './first-answer.ts';
import { LEASE_SCRIPT } from './lease-script.ts';
import { runCommand } from './run-command.ts';
import {
  asTransfer,
  type CommandDone,
  guestCommand,
  readGuestCommand,
  runGuestCommand,
} from './run-guest-command.ts';

export interface GuestNamespace {
  readonly kind: 'tap' | 'packet';
  readonly about: string;
  readonly link: string | undefined;
  readonly ifName: string;
  /** A packet socket with virtio-net headers, where there is no `link`. */
  readonly packetFd?: number;
  /** `argv` so that it runs inside the namespace. */
  enter(argv: readonly string[]): readonly string[];
  /** Remove it. Synchronous, so that it can be done as the process exits. */
  remove(): void;
}

export type DhcpClient = 'udhcpc' | 'dhclient' | 'own';

const HAWSER_AGENT = fileURLToPath(distFile('hawser-agent.mjs'));
const DHCP_PROBE = fileURLToPath(distFile('bin/dhcp-probe.js'));
/** Where the guest's file server listens; no root is needed for it. */
const SERVER_PORT = 8000;

export class KernelGuest implements EmbeddedGuest {
  readonly kind: 'tap' | 'packet';
  readonly about: string;
  readonly link: string | undefined;
  private readonly namespace: GuestNamespace;
  private readonly wantedClient: DhcpClient | undefined;
  private readonly dir: string;
  private readonly abort = new AbortController();
  /** Programs that stay: the DHCP client, to renew the lease, and the servers. */
  private readonly staying: ChildProcess[] = [];
  private dns = '';
  private closed = false;

  /** @param wantedClient of the DHCP clients, instead of the first that is installed */
  constructor(namespace: GuestNamespace, wantedClient?: DhcpClient) {
    this.wantedClient = wantedClient;
    this.kind = namespace.kind;
    this.about = namespace.about;
    this.link = namespace.link;
    this.namespace = namespace;
    this.dir = mkdtempSync(join(tmpdir(), 'hawser-guest-'));
    process.once('exit', this.removeNow);
  }

  attach(network: GuestAcceptor): void {
    const { packetFd } = this.namespace;
    if (packetFd !== undefined) network.attachPacketSocket(packetFd, 'packet:demo');
  }

  async lease(): Promise<LeaseInfo> {
    const script = join(this.dir, 'lease-script');
    writeFileSync(script, LEASE_SCRIPT, { mode: 0o755 });
    const client = await this.pickClient(script);
    const child = this.start(client.argv, { RESOLV_CONF: join(this.dir, 'resolv.conf') });
    const read = (line: string): LeaseInfo | undefined => parseLease(line, client.name);
    const info = await firstAnswer(child, `${client.name} got no lease`, read);
    this.dns = info.dns;
    return info;
  }

  async resolve(name: string): Promise<string> {
    const { address } = await this.command(['resolve', name, this.dns]);
    return address ?? '';
  }

  async ipv6Address(gateway: string): Promise<string> {
    const { address } = await this.command(['ipv6', this.namespace.ifName, gateway]);
    return address ?? '';
  }

  async resolveIpv6(name: string, server: string): Promise<string> {
    const { address } = await this.command(['resolve-ipv6', name, server]);
    return address ?? '';
  }

  async ping(address: string): Promise<number> {
    const { ms = 0 } = await this.command(['ping', address]);
    return ms;
  }

  async download(url: string, onProgress: OnProgress): Promise<Transfer> {
    return asTransfer(await this.command(['download', url], onProgress));
  }

  async upload(
    url: string,
    seed: number,
    sizeBytes: number,
    onProgress: OnProgress,
  ): Promise<Transfer> {
    return asTransfer(await this.command(['upload', url, `${seed}`, `${sizeBytes}`], onProgress));
  }

  async serve(): Promise<number> {
    const child = this.start(guestCommand(['serve', `${SERVER_PORT}`]));
    const read = (line: string): true | undefined =>
      line.startsWith('{') && readGuestCommand(line).done !== undefined ? true : undefined;
    await firstAnswer(child, "the guest's file server does not listen", read);
    return SERVER_PORT;
  }

  async startAgent(port: number): Promise<string> {
    const child = this.start([process.execPath, HAWSER_AGENT, '--listen', `tcp:0.0.0.0:${port}`]);
    const read = (line: string): true | undefined =>
      line.includes('agent ready') ? true : undefined;
    await firstAnswer(child, 'hawser agent does not start', read);
    return `hawser agent in the guest, process ${child.pid}`;
  }

  async close(): Promise<void> {
    const gone = this.staying
      .filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null)
      .map((child) => once(child, 'close'));
    process.off('exit', this.removeNow);
    this.removeNow();
    await Promise.all(gone);
  }

  private readonly removeNow = (): void => {
    if (this.closed) return;
    this.closed = true;
    this.abort.abort();
    for (const child of this.staying) child.kill('SIGKILL');
    this.namespace.remove();
    rmSync(this.dir, { recursive: true, force: true });
  };

  /** Start a program in the namespace that stays until the guest is closed. */
  private start(argv: readonly string[], env: NodeJS.ProcessEnv = {}): ChildProcess {
    const [program = '', ...args] = this.namespace.enter(argv);
    const child = spawn(program, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
    });
    this.staying.push(child);
    return child;
  }

  private async pickClient(
    script: string,
  ): Promise<{ readonly name: string; readonly argv: readonly string[] }> {
    const { ifName } = this.namespace;
    const { wantedClient: wanted } = this;
    const udhcpc = wanted === 'dhclient' || wanted === 'own' ? undefined : await findUdhcpc();
    if (udhcpc !== undefined) {
      const args = ['-i', ifName, '-f', '-t', '10', '-T', '1', '-n', '-O', 'mtu', '-s', script];
      return { name: udhcpc.join(' ').replace(/^.*\//, ''), argv: [...udhcpc, ...args] };
    }
    const dhclient = wanted === 'own' ? undefined : onPath('dhclient');
    if (dhclient !== undefined) {
      const files = ['-lf', join(this.dir, 'leases'), '-pf', join(this.dir, 'pid')];
      const argv = [dhclient, '-d', '-1', '-sf', script, ...files, '-cf', '/dev/null', ifName];
      return { name: 'dhclient', argv };
    }
    const link = await runCommand(this.namespace.enter(['ip', 'link', 'show', 'dev', ifName]));
    const mac = /link\/ether (\S+)/.exec(link.stdout)?.[1] ?? '';
    return {
      name: "hawser's own client (no udhcpc or dhclient here; package udhcpc)",
      argv: [process.execPath, DHCP_PROBE, ifName, mac, script],
    };
  }

  private command(args: readonly string[], onProgress?: OnProgress): Promise<CommandDone> {
    return runGuestCommand(args, this.namespace.enter, this.abort.signal, onProgress);
  }
}

/** busybox under its own name for it, or as one program. */
async function findUdhcpc(): Promise<readonly string[] | undefined> {
  const standalone = onPath('udhcpc');
  if (standalone !== undefined) return [standalone];
  const busybox = onPath('busybox');
  if (busybox === undefined) return undefined;
  const { stdout } = await runCommand([busybox, '--list']);
  return stdout.split('\n').includes('udhcpc') ? [busybox, 'udhcpc'] : undefined;
}

/** The line that the lease script prints; undefined for any other. */
export function parseLease(line: string, client: string): LeaseInfo | undefined {
  const words = /^HAWSER-LEASE (.*)$/.exec(line)?.[1]?.split(' ');
  if (words === undefined) return undefined;
  const fields = new Map(words.map((word) => [word.replace(/=.*/, ''), word.replace(/^.*?=/, '')]));
  return {
    address: fields.get('address') ?? '',
    prefixLen: Number(fields.get('prefix')),
    router: fields.get('router') ?? '',
    dns: fields.get('dns') ?? '',
    mtu: Number(fields.get('mtu') ?? 0),
    client,
  };
}
