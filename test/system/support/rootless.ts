/**
 * An ordinary user of a lab's host: a user of a user database of its own, with a range of subordinate ids, a runtime
 * directory, /dev/net/tun as udev makes it, and programs of ours under the names of those that they stand in for.
 *
 *     host's network -- mount namespace with /etc, /dev/net/tun, /run/user -- the user's programs
 */
import {
  chmodSync,
  chownSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Lab } from './lab.ts';
import {
  Background,
  type CommandResult,
  command,
  type SpawnOptions,
  succeed,
} from './processes.ts';

const BIN = fileURLToPath(new URL('../../../bin/', import.meta.url));
const UID = 1_000;
const SUBORDINATE = 'user:100000:65536\n';

export class RootlessUser {
  readonly dir: string;
  /** `XDG_RUNTIME_DIR`: short, as programs make sockets with long names in it. */
  readonly runtimeDir: string = `/run/user/${UID}`;
  private readonly lab: Lab;
  private holder: Background | undefined;

  private constructor(lab: Lab) {
    this.lab = lab;
    this.dir = lab.path('rootless');
  }

  /** @param standIns names on PATH, and what they are: programs of `dist/bin`, or paths */
  static async open(lab: Lab, standIns: Readonly<Record<string, string>>): Promise<RootlessUser> {
    const user = new RootlessUser(lab);
    await user.build(standIns);
    return user;
  }

  private async build(standIns: Readonly<Record<string, string>>): Promise<void> {
    const { dir } = this;
    chmodSync(this.lab.dir, 0o755); // its parent is for its owner alone
    for (const name of ['bin', 'home']) mkdirSync(join(dir, name), { recursive: true });
    chownSync(join(dir, 'home'), UID, UID);
    for (const [name, program] of Object.entries(standIns)) {
      const path = isAbsolute(program) ? program : join(BIN, program);
      if (path !== program) chmodSync(path, 0o755);
      symlinkSync(path, join(dir, 'bin', name));
    }
    symlinkSync(process.execPath, join(dir, 'bin/node'));
    const etc = join(dir, 'etc');
    cpSync('/etc', etc, { recursive: true, verbatimSymlinks: true });
    writeFileSync(
      join(etc, 'passwd'),
      `root:x:0:0::/root:/bin/sh\nuser:x:${UID}:${UID}::${dir}/home:/bin/sh\n`,
    );
    writeFileSync(join(etc, 'group'), `root:x:0:\nuser:x:${UID}:\n`);
    for (const file of ['subuid', 'subgid']) writeFileSync(join(etc, file), SUBORDINATE);
    const mounts = [
      'mknod -m 666 "$0/tun" c 10 200',
      'mount --bind "$0/tun" /dev/net/tun',
      'mount --bind "$0/etc" /etc',
      'mount -t tmpfs tmpfs /run',
      `mkdir -p /run/user/${UID}`,
      `chown ${UID}:${UID} /run/user/${UID}`,
      'echo mounted',
      'exec sleep infinity',
    ];
    const argv = ['unshare', '--mount', '--propagation', 'private', 'sh', '-c'];
    this.holder = this.lab.host.start([...argv, mounts.join(' && '), dir]);
    await this.holder.prints(/mounted/);
  }

  /** A file of the user's runtime directory, as others reach it. */
  runtimeFile(name: string): string {
    return `/proc/${this.holder?.pid}/root${this.runtimeDir}/${name}`;
  }

  /** `argv` so that the user runs it. */
  as(argv: readonly string[], env: Readonly<Record<string, string>> = {}): readonly string[] {
    const { dir, runtimeDir, holder } = this;
    const all = {
      PATH: `${dir}/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
      HOME: `${dir}/home`,
      USER: 'user',
      XDG_RUNTIME_DIR: runtimeDir,
      ...env,
    };
    const variables = Object.entries(all).map(([key, value]) => `${key}=${value}`);
    return [
      ...['nsenter', '-t', `${holder?.pid}`, '-m', '-n', `--wd=${dir}/home`, '--'],
      ...['setpriv', `--reuid=${UID}`, `--regid=${UID}`, '--clear-groups', '--'],
      ...['env', '-i', ...variables, ...argv],
    ];
  }

  run(...argv: string[]): Promise<string> {
    return succeed(this.as(argv));
  }

  try(...argv: string[]): Promise<CommandResult> {
    return command(this.as(argv));
  }

  start(argv: readonly string[], options: SpawnOptions = {}): Background {
    return this.lab.track(new Background(this.as(argv), options));
  }

  /** Ids of the processes that are started under `name`, one of those on PATH. */
  standIns(name: string): string[] {
    return readdirSync('/proc')
      .filter((pid) => /^\d+$/.test(pid))
      .filter((pid) => commandLine(pid).includes(`${this.dir}/bin/${name}\0`));
  }
}

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1');
  } catch {
    return ''; // it has ended
  }
}
