import assert from 'node:assert/strict';
import { Socket } from 'node:net';
import { loadPosix } from '../../src/native/load.ts';
import { PairStream } from '../../src/native/stream/pair-stream.ts';
import { streamOverSocket } from '../../src/native/stream/stream-over-socket.ts';
import { until } from '../proxy/dns/lab.ts';
import { describeNeeding } from '../support/requirements.ts';
import { StreamOwner } from '../support/stream-owner.ts';

const BIG = 4 << 20;

describeNeeding('native/pair-stream', ['koffi'], () => {
  const peers: Socket[] = [];
  afterEach(() => {
    for (const peer of peers.splice(0)) peer.destroy();
  });

  /** One way of a pair, and the socket at its other end. */
  const way = (reads: boolean) => {
    const [ours, theirs] = loadPosix().socketPair('stream');
    const peer = new Socket({ fd: theirs, allowHalfOpen: true });
    peer.on('error', () => {});
    peers.push(peer);
    const socket = new Socket({ fd: ours, readable: reads, writable: !reads });
    return { stream: streamOverSocket(socket), peer };
  };
  const open = () => {
    const [input, output] = [way(true), way(false)];
    const owner = new StreamOwner();
    const stream = new PairStream(input.stream, output.stream);
    return { stream, owner, input: input.peer, output: output.peer };
  };

  it('reads by one and writes by the other, beyond what is taken at once', async () => {
    const { stream, owner, input, output } = open();
    stream.start(owner);
    input.write('question');
    await until(() => owner.bytes.toString() === 'question');
    let got = 0;
    output.on('data', (chunk: Buffer) => {
      got += chunk.length;
    });
    assert.equal(stream.write(Buffer.alloc(BIG)), false);
    await until(() => owner.written === 1 && got === BIG);
    stream.close();
  });

  it('hears the end of what it reads, and ends what it writes', async () => {
    const { stream, owner, input, output } = open();
    stream.start(owner);
    input.end('last');
    await until(() => owner.ended);
    assert.equal(owner.bytes.toString(), 'last');
    let hasEnded = false;
    output.resume().on('end', () => {
      hasEnded = true;
    });
    stream.end();
    await until(() => hasEnded);
    stream.close();
    assert.deepEqual(owner.closes, []);
  });

  it('is closed, once, where either is', async () => {
    const { stream, owner, output } = open();
    stream.start(owner);
    output.destroy();
    await until(() => {
      stream.write(Buffer.alloc(1));
      return owner.closes.length > 0;
    });
    assert.deepEqual(owner.closes, ['EPIPE']);
  });

  it('reads nothing while it is paused', async () => {
    const { stream, owner, input } = open();
    stream.start(owner, true);
    input.write('later');
    await new Promise(setImmediate);
    assert.equal(owner.bytes.length, 0);
    stream.resume();
    await until(() => owner.bytes.toString() === 'later');
    stream.close();
  });
});
