/** A real OpenSSH server in a guest, and Unix sockets there for it to lead to. */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Lab, Namespace } from './lab.ts';
import { type Background, command, succeed } from './processes.ts';

const SERVICE = fileURLToPath(new URL('./unix-service-main.js', import.meta.url));
/** It insists on a directory in /run, and has one of its own there. */
const IN_OWN_RUN =
  'mount -t tmpfs none /run && mkdir -m 755 /run/sshd && exec /usr/sbin/sshd -D -e -f "$0"';
/** Keys change often, as they do with bulk that lasts. */
const REKEY = '32M';

export type KeyKind = 'ed25519' | 'ecdsa' | 'rsa' | 'rsa-pem' | 'ed25519-passphrase';
export const PASSPHRASE = 'correct horse';

const KEY_ARGUMENTS: Readonly<Record<KeyKind, readonly string[]>> = {
  ed25519: ['-t', 'ed25519'],
  ecdsa: ['-t', 'ecdsa', '-b', '384'],
  rsa: ['-t', 'rsa', '-b', '3072'],
  'rsa-pem': ['-t', 'rsa', '-b', '2048', '-m', 'PEM'],
  'ed25519-passphrase': ['-t', 'ed25519'],
};

export class SshGuest {
  readonly httpSocket: string;
  readonly rawSocket: string;
  private readonly lab: Lab;
  private readonly guest: Namespace;
  private server: Background | undefined = undefined;
  private readonly authorized: string[] = [];

  constructor(lab: Lab, guest: Namespace) {
    this.lab = lab;
    this.guest = guest;
    this.httpSocket = lab.path('guest-http.sock');
    this.rawSocket = lab.path('guest-raw.sock');
  }

  /** A private key that the server accepts. @returns its file */
  async makeKey(kind: KeyKind): Promise<string> {
    const file = await this.makeStrangeKey(kind);
    this.authorized.push(readFileSync(`${file}.pub`, 'utf8'));
    writeFileSync(this.lab.path('authorized_keys'), this.authorized.join(''), { mode: 0o600 });
    return file;
  }

  /** One that it does not accept. */
  async makeStrangeKey(kind: KeyKind, name: string = kind): Promise<string> {
    const file = this.lab.path(`key-${name}`);
    const passphrase = kind === 'ed25519-passphrase' ? PASSPHRASE : '';
    await succeed(['ssh-keygen', '-q', '-N', passphrase, '-f', file, ...KEY_ARGUMENTS[kind]]);
    return file;
  }

  async startService(): Promise<Background> {
    const argv = [process.execPath, SERVICE, this.httpSocket, this.rawSocket];
    const service = this.guest.start(argv);
    await service.prints(/serving/);
    return service;
  }

  async startServer(): Promise<void> {
    this.server = await this.spawnServer();
    await this.server.prints(/Server listening/);
  }

  /** With its sessions, which outlive it. */
  async stopServer(): Promise<void> {
    await this.signal('SIGKILL');
    await this.server?.exited;
  }

  /** To the server and its sessions. */
  async signal(signal: NodeJS.Signals): Promise<void> {
    const pids = (await succeed(['ip', 'netns', 'pids', this.guest.name])).split('\n');
    for (const pid of pids.filter((one) => one !== '')) {
      const { stdout } = await command(['cat', `/proc/${pid}/comm`]);
      if (stdout.startsWith('sshd')) process.kill(Number(pid), signal);
    }
  }

  private async spawnServer(): Promise<Background> {
    const hostKey = this.lab.path('host-key');
    await succeed([
      'sh',
      '-c',
      `[ -e ${hostKey} ] || ssh-keygen -q -t ed25519 -N '' -f ${hostKey}`,
    ]);
    const config = this.lab.path('sshd_config');
    const lines = [
      'Port 22',
      `HostKey ${hostKey}`,
      `AuthorizedKeysFile ${this.lab.path('authorized_keys')}`,
      'PermitRootLogin yes',
      'StrictModes no',
      'UsePAM no',
      'PidFile none',
      `RekeyLimit ${REKEY}`,
    ];
    writeFileSync(config, `${lines.join('\n')}\n`);
    const argv = ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', IN_OWN_RUN, config];
    return this.guest.start(argv);
  }
}
