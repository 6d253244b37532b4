/**
 * {@link SshLibrary} by ssh2. A file of its own (`tools/bundle.ts`), so that only a daemon with SSH forwards reads it.
 *
 * The host key is not checked: the connection leads through hawser's own network to the guest, which hawser knows by
 * nothing else.
 */
import type { Duplex } from 'node:stream';
import ssh2, {
  type Client,
  type ClientChannel,
  type ParsedKey,
  type PublicKeyAuthMethod,
} from 'ssh2';
import {
  type OpenOutcome,
  type SshConnection,
  SshError,
  type SshIdentity,
  type SshLogin,
} from './ssh-library.ts';

/** A dead connection is noticed after about a minute. */
const KEEPALIVE_MS = 15_000;
const KEEPALIVE_MAX = 3;
/** A guest that has just booted is slow. */
export const LOGIN_MS = 10_000;

/** @throws SshError */
export function identify({ user, key, passphrase }: SshIdentity): SshLogin {
  const parsed = ssh2.utils.parseKey(key, passphrase);
  if (parsed instanceof Error) throw new SshError('key', parsed.message, { cause: parsed });
  const own = Array.isArray(parsed) ? parsed[0] : parsed;
  if (own?.isPrivateKey() !== true) throw new SshError('key', 'it is not a private key');
  return { connect: (stream, onLost) => connect(stream, user, own, onLost) };
}

function connect(
  stream: Duplex,
  username: string,
  key: ParsedKey,
  onLost: () => void,
): Promise<SshConnection> {
  const method: PublicKeyAuthMethod = { type: 'publickey', username, key: '' };
  Reflect.set(method, 'key', key); // which its declaration does not have: decrypting it again takes long
  const client = new ssh2.Client();
  const connection = new Connection(client, stream);
  // Before the library's own listener, which ends the channels as if their peers had.
  stream.once('close', () => {
    connection.isLost = true;
  });
  return new Promise((resolve, reject) => {
    let isReady = false;
    client.on('ready', () => {
      isReady = true;
      resolve(connection);
    });
    client.on('error', (error) => {
      const reason = error.level === 'client-authentication' ? 'denied' : 'failed';
      reject(new SshError(reason, error.message, { cause: error }));
      stream.destroy();
    });
    client.on('close', () => {
      if (isReady) onLost();
      else reject(new SshError('failed', 'the server closed the connection'));
    });
    client.connect({
      sock: stream,
      username,
      authHandler: [method],
      readyTimeout: LOGIN_MS,
      keepaliveInterval: KEEPALIVE_MS,
      keepaliveCountMax: KEEPALIVE_MAX,
      strictVendor: false,
    });
  });
}

class Connection implements SshConnection {
  isLost = false;
  channels = 0;
  onIdle: () => void = () => {};
  private readonly client: Client;
  private readonly stream: Duplex;

  constructor(client: Client, stream: Duplex) {
    this.client = client;
    this.stream = stream;
  }

  openUnix(path: string, timeoutMs: number): Promise<OpenOutcome> {
    return new Promise((resolve) => {
      let isLate = false;
      const timer = setTimeout(() => {
        isLate = true;
        resolve({ kind: 'no-answer' });
      }, timeoutMs);
      const answer = (error: Error | undefined, channel: ClientChannel): void => {
        clearTimeout(timer);
        if (this.isLost) {
          resolve({ kind: 'no-answer' });
        } else if (error !== undefined) {
          resolve({ kind: 'refused', text: error.message });
        } else if (isLate) {
          channel.close();
        } else {
          this.count(channel);
          resolve({ kind: 'open', channel });
        }
      };
      try {
        this.client.openssh_forwardOutStreamLocal(path, answer);
      } catch {
        clearTimeout(timer);
        resolve({ kind: 'no-answer' }); // not connected any more
      }
    });
  }

  close(): void {
    this.isLost = true;
    this.client.end();
    this.stream.destroy(); // the library leaves one open that it has ended, and grants channels on it
  }

  private count(channel: ClientChannel): void {
    this.channels++;
    channel.once('close', () => {
      this.channels--;
      if (this.channels === 0) this.onIdle();
    });
  }
}
