/** Sockets as machines have them: of messages, with a name or without, connected or not. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { getSystemErrorName } from 'node:util';
import { arenaInUse } from '../../../src/base/arena.ts';
import * as n from '../../../src/native/constants.ts';
import { bindLibc, THIS_HOST } from '../../../src/native/libc.ts';
import { loadPosix } from '../../../src/native/load.ts';
import { unixSockaddr } from '../../../src/native/sockaddr.ts';

const c = bindLibc('test a socket', '', THIS_HOST);
const posix = loadPosix();

export class MessageClient {
  readonly fd: number;
  private isOpen = true;

  constructor(fd: number) {
    assert.ok(fd >= 0);
    this.fd = fd;
  }

  /** @param own its path; without one it has no name */
  static datagrams(own?: string): MessageClient {
    const type = n.SOCK_DGRAM | n.SOCK_NONBLOCK | n.SOCK_CLOEXEC;
    const fd =
      own === undefined
        ? c.socket(n.AF_UNIX, type, 0)
        : posix.messageSockets.open('dgram', own, 0o600);
    return new MessageClient(fd);
  }

  static packets(path: string): MessageClient {
    const type = n.SOCK_SEQPACKET | n.SOCK_NONBLOCK | n.SOCK_CLOEXEC;
    return new MessageClient(c.socket(n.AF_UNIX, type, 0)).connect(path);
  }

  connect(path: string): this {
    assert.equal(posix.messageSockets.connect(this.fd, path), 0);
    return this;
  }

  /** @returns what the system says: `ok`, or the name of an error */
  send(bytes: Uint8Array): string {
    const sent = posix.write(this.fd, bytes, 0, bytes.length);
    return sent < 0 ? getSystemErrorName(sent) : 'ok';
  }

  sendTo(path: string, bytes: Uint8Array): string {
    const batch = posix.makeFrameBatch();
    batch.begin(bytes, unixSockaddr(path));
    batch.add(0, bytes.length);
    const sent = batch.send(this.fd);
    return sent < 0 ? getSystemErrorName(sent) : 'ok';
  }

  /** @returns undefined when there is nothing */
  receive(): Buffer | undefined {
    const bytes = Buffer.alloc(70_000);
    const len = posix.read(this.fd, bytes, 0, bytes.length);
    return len < 0 ? undefined : bytes.subarray(0, len);
  }

  /** Wait for a message, and for whatever is due meanwhile. */
  async next(): Promise<Buffer> {
    for (;;) {
      const message = this.receive();
      if (message !== undefined) return message;
      await new Promise((done) => {
        setImmediate(done);
      });
    }
  }

  close(): void {
    if (this.isOpen) c.close(this.fd);
    this.isOpen = false;
  }
}

/** An Ethernet frame of some length, told from others by its number. */
export function frameOf(number: number, len = 60): Buffer {
  const frame = Buffer.alloc(len, number);
  frame.set([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5]);
  return frame;
}

/** Links come and go; what they used is given back, and no descriptor is left. @param comeAndGo one link */
export async function checkNothingIsLeft(comeAndGo: (i: number) => Promise<void>): Promise<void> {
  const LINKS = 100;
  const open = (): number => readdirSync('/proc/self/fd').length;
  const released = async (): Promise<void> => {
    await new Promise(setImmediate); // links give their slabs back in a later turn
  };
  await comeAndGo(0);
  await released();
  const before = { open: open(), inUse: arenaInUse() };
  for (let i = 1; i < LINKS; i++) await comeAndGo(i);
  await released();
  assert.deepEqual({ open: open(), inUse: arenaInUse() }, before);
}

/** Let the event loop turn until something is so. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) {
    await new Promise((done) => {
      setImmediate(done);
    });
  }
}
