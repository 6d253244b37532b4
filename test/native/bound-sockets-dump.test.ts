import assert from 'node:assert/strict';
import { LinuxBoundSockets } from '../../src/native/bound-sockets.ts';
import type { Libc } from '../../src/native/libc.ts';

const MESSAGE_LEN = 88;
const TCPDIAG_GETSOCK = 18;
const NLMSG_DONE = 3;
const EAGAIN = -1;

/** One part of a dump: sockets that listen on 127.0.0.1, by their ports, which are their inodes too. */
function part(ports: readonly number[], isLast: boolean): Uint8Array {
  const bytes = new Uint8Array(ports.length * MESSAGE_LEN + (isLast ? 20 : 0));
  const view = new DataView(bytes.buffer);
  for (const [i, port] of ports.entries()) {
    const at = i * MESSAGE_LEN;
    view.setUint32(at, MESSAGE_LEN, true);
    view.setUint16(at + 4, TCPDIAG_GETSOCK, true);
    view.setUint8(at + 16, 2); // AF_INET
    view.setUint16(at + 20, port);
    bytes.set([127, 0, 0, 1], at + 24);
    view.setUint32(at + 84, port, true);
  }
  if (isLast) {
    view.setUint32(ports.length * MESSAGE_LEN, 20, true);
    view.setUint16(ports.length * MESSAGE_LEN + 4, NLMSG_DONE, true);
  }
  return bytes;
}

/** Dumps by their parts, of which `undefined` cannot be read. */
type Dump = readonly (readonly number[] | undefined)[];

function sourceOf(dumps: Dump[], withUdp = false): LinuxBoundSockets {
  const parts: (Uint8Array | undefined)[] = [];
  const kernel: Pick<Libc, 'socket' | 'write' | 'read' | 'close' | 'errno'> = {
    socket: () => 3,
    write: (_fd, _bytes, len) => {
      const dump = dumps.shift() ?? assert.fail('it is asked too often');
      parts.push(...dump.map((ports, i) => ports && part(ports, i === dump.length - 1)));
      return len;
    },
    read: (_fd, bytes) => {
      const next = parts.shift();
      if (next === undefined) return EAGAIN;
      bytes.set(next);
      return next.length;
    },
    close: () => 0,
    errno: () => 12,
  };
  return new LinuxBoundSockets(kernel as Libc, withUdp);
}

describe('native: dumps of sockets that listen', () => {
  const portsOf = (source: LinuxBoundSockets): readonly number[] | 'same' | undefined => {
    const read = source.read();
    return typeof read === 'object' ? read.map(({ port }) => port).sort() : read;
  };

  it('some that end between two dumps of one read are gone in the next', () => {
    const gone: Dump = [[], []];
    const source = sourceOf([[[1, 2], [3]], [[1], []], gone, gone, gone, gone, gone]);
    assert.deepEqual(portsOf(source), [1, 2, 3]);
    assert.deepEqual(portsOf(source), [1]); // one dump still had it
    assert.deepEqual(portsOf(source), []);
    assert.deepEqual(portsOf(source), []);
    assert.equal(portsOf(source), 'same');
  });

  it('one that is passed over between two parts is there', () => {
    const source = sourceOf([
      [[1, 2], [3]],
      [[2], []],
      [[2], [3]],
      [[2], [3]],
      [[2], [3]],
    ]);
    assert.deepEqual(portsOf(source), [1, 2, 3]);
    assert.deepEqual(portsOf(source), [2, 3]);
    assert.deepEqual(portsOf(source), [2, 3]);
    assert.equal(portsOf(source), 'same');
  });

  it('one that is known to have ended is gone at once, and nothing is dumped again', () => {
    const source = sourceOf([
      [[1, 2], [3]],
      [[1], [3]],
      [[1], [3]],
      [[1], []],
      [[1], [3]],
    ]);
    const ended = new Set([2]);
    const read = (): unknown => {
      const sockets = source.read(({ port }) => ended.has(port));
      return typeof sockets === 'object' ? sockets.map(({ port }) => port) : sockets;
    };
    assert.deepEqual(read(), [1, 2, 3]);
    assert.deepEqual(read(), [1, 3]);
    assert.equal(read(), 'same');
    assert.deepEqual(read(), [1, 3], 'another is missing, and is dumped again');
  });

  it('what was found is not lost where the next table cannot be read', () => {
    const udp = [[[]], [[]]] as const;
    const source = sourceOf([[[1]], ...udp, [[]], [undefined], [[]], ...udp, [[]], ...udp], true);
    assert.deepEqual(portsOf(source), [1]);
    assert.equal(portsOf(source), undefined);
    assert.deepEqual(portsOf(source), []);
    assert.equal(portsOf(source), 'same');
  });

  it('the rest of a dump that could not be read is not taken for the next', () => {
    const source = sourceOf([[[1]], [undefined, [7]], [[2]], [[2]]]);
    assert.deepEqual(portsOf(source), [1]);
    assert.equal(portsOf(source), undefined);
    assert.deepEqual(portsOf(source), [2]);
    assert.equal(portsOf(source), 'same');
  });
});
