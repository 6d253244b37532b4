/**
 * A guest that is a real Linux kernel: this machine's, in a network namespace of its own. Whoever
 * made the namespace says how to run a program in it; lease, resolver, ping and transfers are
 * programs run there.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { onPath } from '../vm/initramfs.ts';
import {
  type EmbeddedGuest,
  type GuestAcceptor,
  GuestError,
  type LeaseInfo,
  type OnProgress,
  type Transfer,
} from './embedded-guest.ts';
import { LEASE_SCRIPT } from './lease-script.ts';
import { runCommand } from './run-command.ts';

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

/** What `agent.ts` prints. */
const AgentLine = z.object({
  progress: z.number().optional(),
  error: z.string().optional(),
  done: z
    .object({
      bytes: z.number().optional(),
      sha256: z.string().optional(),
      ms: z.number().optional(),
      address: z.string().optional(),
    })
    .optional(),
});
type AgentDone = NonNullable<z.infer<typeof AgentLine>['done']>;

const AGENT = fileURLToPath(new URL('./agent.js', import.meta.url));
const DHCP_PROBE = fileURLToPath(new URL('./dhcp-probe.js', import.meta.url));
const LEASE_TIMEOUT_MS = 15_000;
const STDERR_CHARS = 300;

export class KernelGuest implements EmbeddedGuest {
  readonly kind: 'tap' | 'packet';
  readonly about: string;
  readonly link: string | undefined;
  private readonly namespace: GuestNamespace;
  private readonly wantedClient: DhcpClient | undefined;
  private readonly dir: string;
  private readonly abort = new AbortController();
  private dhcp: ChildProcess | undefined;
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
    const [program = '', ...args] = this.namespace.enter(client.argv);
    const env = { ...process.env, RESOLV_CONF: join(this.dir, 'resolv.conf') };
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], env });
    this.dhcp = child; // stays, to renew the lease
    const info = await firstLease(child, client.name);
    this.dns = info.dns;
    return info;
  }

  async resolve(name: string): Promise<string> {
    const { address } = await this.agent(['resolve', name, this.dns]);
    return address ?? '';
  }

  async ping(address: string): Promise<number> {
    const ping = onPath('ping');
    const busybox = onPath('busybox');
    if (ping === undefined && busybox === undefined) {
      throw new GuestError('no ping on this machine (package iputils-ping)');
    }
    const program = ping === undefined ? [busybox ?? '', 'ping'] : [ping];
    const argv = this.namespace.enter([...program, '-c', '5', '-A', '-w', '5', address]);
    const { status, stdout, stderr } = await runCommand(argv, undefined, this.abort.signal);
    // iputils: `rtt min/avg/max/mdev = 0.1/0.2/...`; busybox: `round-trip min/avg/max = ...`
    const mean = / = [\d.]+\/([\d.]+)\//.exec(stdout)?.[1];
    if (status !== 0 || mean === undefined) {
      const said = (stderr.trim() || stdout.trim()).split('\n').at(-1);
      throw new GuestError(`ping ${address}: ${said}`);
    }
    return Number(mean);
  }

  async download(url: string, onProgress: OnProgress): Promise<Transfer> {
    return transfer(await this.agent(['download', url], onProgress));
  }

  async upload(
    url: string,
    seed: number,
    sizeBytes: number,
    onProgress: OnProgress,
  ): Promise<Transfer> {
    return transfer(await this.agent(['upload', url, `${seed}`, `${sizeBytes}`], onProgress));
  }

  close(): Promise<void> {
    const { dhcp } = this;
    const gone =
      dhcp === undefined || dhcp.exitCode !== null || dhcp.signalCode !== null
        ? Promise.resolve()
        : new Promise<void>((resolve) => {
            dhcp.once('close', () => resolve());
          });
    process.off('exit', this.removeNow);
    this.removeNow();
    return gone;
  }

  private readonly removeNow = (): void => {
    if (this.closed) return;
    this.closed = true;
    this.abort.abort();
    this.dhcp?.kill('SIGKILL');
    this.namespace.remove();
    rmSync(this.dir, { recursive: true, force: true });
  };

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

  /** Run the agent in the namespace. @returns its `done` object */
  private async agent(args: readonly string[], onProgress?: OnProgress): Promise<AgentDone> {
    let done: AgentDone | undefined;
    let error = '';
    const argv = this.namespace.enter([process.execPath, AGENT, ...args]);
    const onLine = (line: string): void => {
      const said = AgentLine.parse(JSON.parse(line));
      if (said.progress !== undefined) onProgress?.(said.progress);
      done ??= said.done;
      error = said.error ?? error;
    };
    const { status, stderr } = await runCommand(argv, onLine, this.abort.signal);
    if (done !== undefined) return done;
    const said = error || stderr.trim().slice(0, STDERR_CHARS) || `exit status ${status}`;
    throw new GuestError(`${args.join(' ')}: ${said}`);
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

const transfer = ({ bytes = 0, sha256 = '', ms = 0 }: AgentDone): Transfer => ({
  bytes,
  sha256,
  ms,
});

function firstLease(child: ChildProcess, client: string): Promise<LeaseInfo> {
  return new Promise((resolve, reject) => {
    let said = '';
    const fail = (why: string): void => {
      clearTimeout(timer);
      reject(new GuestError(`${client} got no lease: ${why}: ${said.trim().slice(-STDERR_CHARS)}`));
    };
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      fail(`nothing within ${LEASE_TIMEOUT_MS / 1000} s`);
    }, LEASE_TIMEOUT_MS);
    const onLine = (line: string): void => {
      const info = parseLease(line, client);
      if (info === undefined) {
        said = `${said}${line}\n`.slice(-2 * STDERR_CHARS);
        return;
      }
      clearTimeout(timer);
      resolve(info);
    };
    if (child.stdout !== null) createInterface({ input: child.stdout }).on('line', onLine);
    if (child.stderr !== null) createInterface({ input: child.stderr }).on('line', onLine);
    child.once('error', (error) => fail(error.message));
    child.once('exit', (status) => fail(`exit status ${status}`));
  });
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
