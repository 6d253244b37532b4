/**
 * One process that serves the ports of all proxies of a dockerd. `hawser-docker-proxy.sh` says why, and
 * is the other end. In the broker's directory:
 *
 * | name        | is                                                                               |
 * |-------------|----------------------------------------------------------------------------------|
 * | `broker`    | this process's id; it stands there once requests are taken                       |
 * | `requests`  | FIFO: a line `PID ARGUMENT...` from each proxy, written at once                  |
 * | `PID.life`  | FIFO: the proxy holds it open; its end is the proxy's                            |
 * | `PID.reply` | FIFO: `0\n`, and open for as long as the port is served; or `1\n` and a message; |
 * |             | or `2\n`: the proxy has to serve the port itself                                |
 *
 * With `-use-listen-fd` dockerd gives the proxy a socket as descriptor 4. A shell cannot pass it on, and
 * /proc/PID/fd/4 cannot be opened as it is a socket; so it is taken: see `takeDescriptor`. Where that cannot be done,
 * without koffi or on Linux before 5.6, the answer is `2`.
 *
 * It ends with dockerd, never before: a request must never be without a broker.
 */
import { spawnSync } from 'node:child_process';
import {
  closeSync,
  constants,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { Socket } from 'node:net';
import { join } from 'node:path';
import { errorCode } from '../../native/errors.ts';
import { makeDirectory } from '../../native/make-directory.ts';
import { takeDescriptor } from '../../native/take-descriptor.ts';
import { LISTEN_FD, type ProxyRequest, parseArguments } from './arguments.ts';
import { DockerProxy, DockerProxyError } from './docker-proxy.ts';

const { O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY } = constants;
/** The name that the shell expects in `/proc/PID/stat`: the id alone may have been reused. */
const TITLE = 'hawser-broker';
const DOCKERD_CHECK_MS = 1_000;
const STDOUT = 1;

/** @param dockerd the process that all proxies are children of */
export function runBroker(dir: string, dockerd: number): Promise<never> {
  process.title = TITLE;
  process.on('SIGINT', () => {}); // a terminal sends it to dockerd's whole group
  rmSync(dir, { recursive: true, force: true }); // of a dockerd that had this process id before
  makeDirectory(dir, 0o700);
  const requests = join(dir, 'requests');
  if (spawnSync('mkfifo', ['-m', '600', requests]).status !== 0) {
    throw new DockerProxyError(`cannot make ${requests}`);
  }
  takeRequests(dir, openSync(requests, O_RDWR | O_NONBLOCK)); // a writer of our own: it has no end
  const draft = join(dir, `broker.${process.pid}`);
  writeFileSync(draft, `${process.pid}\n`);
  renameSync(draft, join(dir, 'broker'));
  writeSync(STDOUT, 'ready\n');
  closeSync(STDOUT); // the shell reads to the end
  openSync('/dev/null', 'w');
  return new Promise(() => {
    setInterval(() => {
      if (isRunning(dockerd)) return;
      rmSync(dir, { recursive: true, force: true });
      process.exit(0);
    }, DOCKERD_CHECK_MS);
  });
}

function isRunning(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) [ZX] /s.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

function takeRequests(dir: string, fd: number): void {
  const fifo = new Socket({ fd, readable: true, writable: false });
  let rest = '';
  fifo.setEncoding('utf8');
  fifo.on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) takeRequest(dir, line);
  });
}

function takeRequest(dir: string, line: string): void {
  const [pid = '', ...argv] = line.split(' ');
  if (!/^\d+$/.test(pid)) return;
  const [life, reply] = [join(dir, `${pid}.life`), join(dir, `${pid}.reply`)];
  const fds: number[] = [];
  try {
    fds.push(openSync(life, O_RDONLY | O_NONBLOCK), openSync(reply, O_WRONLY | O_NONBLOCK));
    unlinkSync(life);
    unlinkSync(reply);
  } catch {
    for (const fd of fds) closeSync(fd);
    return; // the proxy was killed before its turn
  }
  const [lifeFd = -1, replyFd = -1] = fds;
  new Client(Number(pid), lifeFd, replyFd).serve(argv).catch(() => {});
}

/** Whether the proxy at the other end still lives: its end would be read as an end. */
function isHeld(lifeFd: number): boolean {
  try {
    return readSync(lifeFd, new Uint8Array(1)) > 0;
  } catch (error) {
    return error instanceof Error && errorCode(error) === 'EAGAIN';
  }
}

class Client {
  private readonly pid: number;
  private readonly lifeFd: number;
  private readonly life: Socket;
  private readonly replyFd: number;
  private proxy: DockerProxy | undefined;
  private hasLeft = false;

  constructor(pid: number, lifeFd: number, replyFd: number) {
    this.pid = pid;
    this.lifeFd = lifeFd;
    this.replyFd = replyFd;
    this.life = new Socket({ fd: lifeFd, readable: true, writable: false });
    this.life.on('error', () => {}); // 'close' follows
    this.life.once('close', () => {
      this.hasLeft = true;
      this.proxy?.close();
      closeSync(replyFd);
    });
    this.life.resume();
  }

  async serve(argv: readonly string[]): Promise<void> {
    try {
      const parsed = parseArguments(argv, process.env);
      if (parsed.kind !== 'serve') {
        throw new DockerProxyError(parsed.kind === 'bad' ? parsed.problem : 'nothing to serve');
      }
      const request = this.withListenFd(parsed.request);
      if (request === undefined) {
        this.reply('2\n');
        this.life.destroy();
        return;
      }
      this.proxy = new DockerProxy(request, () => {});
      await this.proxy.start();
      this.reply('0\n');
    } catch (error) {
      this.reply(`1\n${error instanceof Error ? error.message : String(error)}`);
      this.life.destroy();
    }
    if (this.hasLeft) this.proxy?.close(); // while it was started
  }

  /** @returns undefined when the descriptor cannot be taken */
  private withListenFd(request: ProxyRequest): ProxyRequest | undefined {
    if (request.listenFd === undefined || request.local === 'never') {
      return { ...request, listenFd: undefined }; // the shell closes its own
    }
    try {
      const listenFd = takeDescriptor(this.pid, LISTEN_FD);
      if (isHeld(this.lifeFd)) return { ...request, listenFd };
      closeSync(listenFd); // of whoever has its process id now
    } catch {
      // it serves the port itself, or has ended
    }
    return undefined;
  }

  private reply(text: string): void {
    if (this.hasLeft) return;
    try {
      writeSync(this.replyFd, text);
    } catch {
      this.life.destroy(); // EPIPE: it has left
    }
  }
}
