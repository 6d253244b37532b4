/**
 * A real dockerd in the namespaces of a lab's guest: its network, and mounts and processes of its own,
 * so that whatever it starts and mounts ends with its first process.
 *
 *     unshare --mount --pid (this process's child) -- sh (first process) -- dockerd -- containerd, proxies, ...
 */
import assert from 'node:assert/strict';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  writeFileSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findBusybox } from '../../../src/lab/vm/vm-parts.ts';
import type { Guest, Lab } from './lab.ts';
import { type Background, type CommandResult, command, succeed } from './processes.ts';
import { until } from './until.ts';

const MAIN = fileURLToPath(new URL('../../../bin/docker-proxy.js', import.meta.url));
const PROXY = resolve('src/cli/docker-proxy/hawser-docker-proxy.sh');
const IMAGE = 'hawser-test';
/** For containers: a web server that logs its clients. */
export const HTTPD =
  'echo "hello from $HOSTNAME" >/www/index.html; exec httpd -f -vv -p 80 -h /www';
/** The same, with random bytes at `/file`, whose sum it prints. */
export const fileServer = (mib: number): string =>
  `dd if=/dev/urandom of=/www/file bs=1048576 count=${mib}; sha256sum /www/file; ${HTTPD}`;
/** Answers datagrams, and connections, at port 80. */
export const ECHO = 'exec netbench srv 80';
const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 60_000;
const APPLETS = ['sh', 'httpd', 'nc', 'cat', 'sleep', 'echo', 'wc', 'sha256sum', 'dd'];

export interface DockerdOptions {
  /** Of its directory, where a guest has several after one another. */
  readonly name?: string;
  /** Default: ours. */
  readonly proxy?: string;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

export class Docker {
  private readonly guest: Guest;
  /** Its `XDG_RUNTIME_DIR`, and its proxies'. */
  readonly dir: string;
  readonly socket: string;
  private readonly cgroup: string;
  private readonly options: DockerdOptions;
  private daemon: Background | undefined;

  constructor(lab: Lab, guest: Guest, options: DockerdOptions = {}) {
    this.guest = guest;
    this.options = options;
    this.dir = lab.path(`docker-${options.name ?? guest.name}`);
    this.socket = join(this.dir, 'docker.sock');
    this.cgroup = guest.name;
    mkdirSync(this.dir, { recursive: true });
  }

  async start(): Promise<void> {
    const { proxy = PROXY, args = [], env = {} } = this.options;
    writeFileSync(join(this.dir, 'config.json'), '{}'); // and not the machine's
    const at = (name: string): string => join(this.dir, name);
    const dockerd = [
      'dockerd',
      ...['--data-root', at('data'), '--exec-root', at('exec'), '--pidfile', at('pid')],
      ...['--host', `unix://${this.socket}`, '--storage-driver', 'vfs'],
      ...['--cgroup-parent', `/${this.cgroup}`, '--userland-proxy-path', proxy],
      ...['--config-file', at('config.json'), '--log-level', 'warn', ...args],
    ];
    // A shell that does not become dockerd: the first process of the namespace ends when dockerd has, unless it is killed.
    const shell = [
      'sh',
      '-c',
      '"$@"; status=$?; [ $status -ne 137 ] || sleep 600; exit $status',
      'sh',
    ];
    const unshare = ['unshare', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];
    const ours = { XDG_RUNTIME_DIR: this.dir, HAWSER_DOCKER_PROXY_MAIN: MAIN };
    const daemon = this.guest.start([...unshare, ...shell, ...dockerd], {
      env: { ...ours, ...env },
    });
    this.daemon = daemon;
    await until(
      'dockerd to answer',
      async () => !daemon.isRunning || (await this.try('version')).status === 0,
      START_TIMEOUT_MS,
    );
    assert.ok(daemon.isRunning, daemon.stderr);
  }

  /** As its unit's `ExecStartPost` does. */
  async prepare(): Promise<void> {
    const enter = ['nsenter', '-t', `${this.pid()}`, '--mount', '--pid', '--net'];
    const env = [`XDG_RUNTIME_DIR=${this.dir}`, `HAWSER_DOCKER_PROXY_MAIN=${MAIN}`];
    const pid = readFileSync(join(this.dir, 'pid'), 'utf8');
    await succeed([...enter, 'env', ...env, PROXY, '-prepare', pid]);
  }

  /** As `systemctl stop` does. */
  async stop(): Promise<void> {
    const { daemon } = this;
    if (daemon === undefined) return;
    const pid = this.pid();
    if (pid !== undefined) process.kill(pid, 'SIGTERM');
    await until('dockerd to end', () => !daemon.isRunning, STOP_TIMEOUT_MS);
  }

  /** Kill dockerd alone: what it has started is there until that notices. */
  kill(): void {
    const pid = this.pid();
    assert.ok(pid !== undefined, 'dockerd does not run');
    process.kill(pid, 'SIGKILL');
  }

  /** Kill everything that is left, and remove what outlives it. */
  async close(): Promise<void> {
    await this.daemon?.stop(); // --kill-child: the namespace's first process, and all with it
    await until('the containers to be gone', () => this.removeCgroups());
  }

  get log(): string {
    return this.daemon?.stderr ?? '';
  }

  try(...args: string[]): Promise<CommandResult> {
    return command(['docker', '--host', `unix://${this.socket}`, ...args]);
  }

  /** @throws when it fails. @returns what it prints, trimmed */
  async run(...args: string[]): Promise<string> {
    return (await succeed(['docker', '--host', `unix://${this.socket}`, ...args])).trim();
  }

  /** Make the image: busybox, and `netbench srv PORT` for UDP. */
  async importImage(): Promise<void> {
    const root = join(this.dir, 'rootfs');
    for (const dir of ['bin', 'tmp', 'www']) mkdirSync(join(root, dir), { recursive: true });
    copyFileSync(findBusybox(), join(root, 'bin/busybox'));
    const links = APPLETS.map((name) => `ln -sf busybox ${name}`).join('; ');
    await succeed(['sh', '-c', `cd ${root}/bin && ${links}`]);
    const netbench = join(root, 'bin/netbench');
    await succeed(['gcc', '-O2', '-pthread', '-static', '-o', netbench, 'bench/tools/netbench.c']);
    const tar = join(this.dir, 'image.tar');
    await succeed(['tar', '-C', root, '-cf', tar, '.']);
    await this.run('import', tar, IMAGE);
  }

  /** Start a container in the background. @param script for its shell */
  async container(name: string, ports: readonly string[], script: string): Promise<string> {
    const publish = ports.flatMap((port) => ['-p', port]);
    const common = ['-d', '--name', name, '--stop-timeout', '1'];
    return await this.run('run', ...common, ...publish, IMAGE, 'sh', '-c', script);
  }

  /** The same, which is expected to fail. @returns the message for the user */
  async refusedContainer(name: string, ports: readonly string[]): Promise<string> {
    const publish = ports.flatMap((port) => ['-p', port]);
    const { status, stderr } = await this.try('run', '-d', '--name', name, ...publish, IMAGE, 'sh');
    assert.notEqual(status, 0);
    return stderr;
  }

  private pid(): number | undefined {
    return this.processes().find(({ argv }) => argv[0] === 'dockerd')?.pid;
  }

  /** Processes started from our directory or with our proxy's arguments, in this dockerd's namespace. */
  processes(): { readonly pid: number; readonly argv: readonly string[] }[] {
    const root = this.daemon?.pid ?? 0;
    const found = readdirSync('/proc')
      .map(Number)
      .filter((pid) => pid > 0)
      .map((pid) => ({ pid, argv: argvOf(pid), parent: parentOf(pid) }));
    const ours = new Set([root]);
    for (let before = 0; before !== ours.size; ) {
      before = ours.size;
      for (const { pid, parent } of found) if (ours.has(parent)) ours.add(pid);
    }
    return found.filter(({ pid }) => ours.has(pid));
  }

  /** The proxies of a host port. */
  proxies(hostPort: number): number[] {
    return this.processes()
      .filter(({ argv }) => argv.includes('-host-port') && argv.includes(`${hostPort}`))
      .map(({ pid }) => pid);
  }

  /** The processes that serve the ports of all proxies: one, but for a moment. */
  brokers(): number[] {
    return this.processes()
      .filter(({ argv }) => argv[0] === 'hawser-broker')
      .map(({ pid }) => pid);
  }

  async removeContainers(): Promise<void> {
    const ids = (await this.run('ps', '-aq')).split('\n').filter((id) => id !== '');
    if (ids.length > 0) await this.run('rm', '-f', ...ids);
  }

  private removeCgroups(): boolean {
    const left = readdirSync('/sys/fs/cgroup')
      .map((controller) => join('/sys/fs/cgroup', controller, this.cgroup))
      .filter((dir) => existsSync(dir));
    for (const dir of left) removeTree(dir);
    return true;
  }
}

/** A cgroup's files are not removed, only its directories. */
function removeTree(dir: string): void {
  for (const entry of readdirSync(dir, { withFileTypes: true })) {
    if (entry.isDirectory()) removeTree(join(dir, entry.name));
  }
  rmdirSync(dir);
}

function argvOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1);
  } catch {
    return []; // it has ended
  }
}

function parentOf(pid: number): number {
  try {
    return Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
  } catch {
    return 0;
  }
}
