import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { ipv4 } from '../../src/base/ip-address.ts';
import { type Destination, formatDestination } from '../../src/mux/destination.ts';
import { concat, End, open, Pair, pattern, Sink, sendAll } from './pair.ts';

const LINES = readFileSync('fixtures/mux/vpnkit-forwarder.txt', 'utf8')
  .trim()
  .split('\n')
  .map((line) => {
    const space = line.indexOf(' ');
    const bytes = new Uint8Array(Buffer.from(line.slice(space).replaceAll(' ', ''), 'hex'));
    return { who: line.slice(0, space), bytes };
  });
const HANDSHAKE = new TextEncoder().encode(
  'https://github.com/moby/vpnkit multiplexer protocol\n\0\0',
);
const TARGET: Destination = { proto: 'tcp', address: ipv4(0x7f000001), port: 19_000 };
const text = (chars: string): Uint8Array => new TextEncoder().encode(chars);

/** What `end` has written since last asked, as hexadecimal. */
function written(end: End): string {
  end.settle(0);
  return Buffer.from(end.writer.take(100_000)).toString('hex');
}
const hex = (...lines: number[]): string =>
  lines.map((line) => Buffer.from(LINES[line]?.bytes ?? []).toString('hex')).join('');

describe("multiplexer beside VPNKit's, byte for byte", () => {
  function greeted(): End {
    const end = new End({ role: 'listener', extended: false });
    end.mux.start(0);
    assert.equal(written(end), Buffer.from(HANDSHAKE).toString('hex'));
    end.feed(0, HANDSHAKE);
    return end;
  }
  const feed = (end: End, ...lines: number[]): void => {
    for (const line of lines) end.feed(0, LINES[line]?.bytes ?? new Uint8Array(0));
  };

  it('opens, sends, ends and closes as the host did', () => {
    const host = greeted();
    const { channel, sink } = open(host, 0, TARGET);
    assert.equal(written(host), hex(0, 1));
    feed(host, 2);
    assert.deepEqual(sink.log, ['open']);
    channel.send(0, text('Ehello'), 0, 6);
    assert.equal(written(host), hex(3));
    feed(host, 4);
    channel.shutdown(0);
    assert.equal(written(host), hex(5));
    feed(host, 6, 7);
    assert.equal(written(host), hex(8));
    assert.equal(Buffer.from(sink.bytes).toString(), 'hello');
    assert.deepEqual(sink.log, ['open', 'end', 'finished']);
    assert.equal(host.mux.channelCount, 0);
  });

  it('accepts, answers and closes as the VM did', () => {
    const guest = greeted();
    feed(guest, 0, 1);
    assert.equal(
      formatDestination(guest.requests[0]?.destination ?? TARGET),
      'tcp:127.0.0.1:19000',
    );
    assert.equal(written(guest), hex(2));
    feed(guest, 3);
    const [sink] = guest.sinks;
    assert.equal(Buffer.from(sink?.bytes ?? []).toString(), 'Ehello');
    sink?.channel?.send(0, text('hello'), 0, 5);
    assert.equal(written(guest), hex(4));
    feed(guest, 5);
    assert.equal(written(guest), hex(6, 7));
    feed(guest, 8);
    assert.deepEqual(sink?.log, ['end', 'finished']);
    assert.equal(guest.mux.channelCount, 0);
  });

  it('renews a window once half of it was read, to 65,536 beyond', () => {
    const guest = greeted();
    feed(guest, 0, 1);
    written(guest);
    const frame = new Uint8Array(11 + 32_768);
    frame.set([11, 0, 4, 0, 0, 0, 0, 0, 0x80, 0, 0]);
    guest.feed(0, frame);
    assert.equal(written(guest), ''); // exactly half is left: not yet
    guest.feed(0, Uint8Array.of(11, 0, 4, 0, 0, 0, 0, 1, 0, 0, 0, 9));
    assert.equal(written(guest), `0f000500000000${'0180010000000000'}`);
  });

  it('offers the extended mode in 20 bytes of payload, which a plain peer ignores', () => {
    const end = new End({ role: 'connector' });
    end.mux.start(0);
    const bytes = end.writer.take(1000);
    assert.equal(bytes.length, 74);
    assert.equal(
      Buffer.from(bytes.subarray(52)).toString('hex'),
      `1400${'68777372'}01000000${'00000100'}${'00000100'}${'00400000'}`,
    );
  });
});

/** For what a listener answers to a short stream: an end is made for each damage, and its slab costs the most. */
const ROOM = 16 << 10;

describe('multiplexer with a damaged stream', () => {
  for (const extended of [true, false]) {
    const mode = extended ? 'extended' : 'plain';
    /** Everything a host sent in a session with all kinds of frames. */
    function session(): Uint8Array {
      const pair = new Pair({ host: { extended }, guest: { extended } });
      const chunks: Uint8Array[] = [];
      const tap = pair.host.writer.take.bind(pair.host.writer);
      pair.host.writer.take = (most) => {
        const bytes = tap(most);
        chunks.push(bytes);
        return bytes;
      };
      const first = pair.open(TARGET);
      const second = pair.open();
      const third = pair.open({ proto: 'udp', address: ipv4(0x0a000001), port: 53 });
      sendAll(0, first.channel, first.sink, pattern(100), true);
      pair.run();
      pair.host.mux.onTimeout(pair.now);
      sendAll(pair.now, second.channel, second.sink, pattern(60), false);
      third.channel.abort(pair.now, 'timed-out', 'too slow');
      pair.host.mux.drain();
      pair.run();
      second.channel.shutdown(pair.now);
      pair.run();
      return concat(chunks);
    }
    function check(bytes: Uint8Array, piece: number): void {
      const guest = new End({ role: 'listener', extended, memoryBudget: 1 << 20 }, ROOM);
      guest.mux.start(0);
      for (let at = 0; at < bytes.length; at += piece) {
        guest.feed(0, bytes.subarray(at, at + piece));
        guest.writer.take(100_000);
      }
      assert.ok(guest.mux.windowsPromised <= 1 << 20);
      guest.mux.onLinkDown(1);
      for (const sink of guest.sinks) {
        const ends = sink.log.filter((line) => line !== 'open' && line !== 'end');
        assert.equal(ends.length, 1, `a channel ended ${ends.length} times`);
      }
      assert.equal(guest.mux.rxPool.inUse + guest.mux.txPool.inUse, 0);
      assert.equal(guest.mux.windowsPromised, 0);
    }
    const bytes = session();

    it(`${mode}: every truncation`, () => {
      for (let len = 0; len <= bytes.length; len++) check(bytes.subarray(0, len), 1 << 20);
    });

    it(`${mode}: every cut in two reads is as good as none`, () => {
      for (let len = 1; len < 200; len++) check(bytes, len);
    });

    it(`${mode}: every corruption of one byte`, () => {
      for (let at = 0; at < bytes.length; at++) {
        for (let flip = 1; flip < 256; flip++) {
          const bad = bytes.slice();
          bad[at] = (bad[at] ?? 0) ^ flip;
          check(bad, 1 << 20);
        }
      }
    }).timeout(60_000);
  }
});

describe('multiplexer, every interleaving of small cases', () => {
  for (const extended of [true, false]) {
    for (const ending of ['shutdown', 'abort', 'refuse'] as const) {
      it(`${extended ? 'extended' : 'plain'}: send, end and ${ending} in any order`, () => {
        const steps = 6;
        for (let code = 0; code < 4 ** steps; code++) play(code, steps, extended, ending);
      });
    }
  }
});

function play(
  code: number,
  steps: number,
  extended: boolean,
  ending: 'shutdown' | 'abort' | 'refuse',
): void {
  const pair = new Pair({ host: { extended }, guest: { extended }, limit: 4096 });
  const { host, guest } = pair;
  const server = new Sink();
  server.echoEnd = false;
  guest.answer = () => undefined;
  const client = open(host, 0);
  client.sink.echoEnd = false;
  let hostStep = 0;
  let guestStep = 0;
  const ofHost = (): void => {
    hostStep++;
    if (hostStep === 1 || hostStep === 2) client.channel.send(0, pattern(3, hostStep), 0, 3);
    else if (hostStep === 3) client.channel.shutdown(0);
  };
  const ofGuest = (): void => {
    const [request] = guest.requests;
    if (request === undefined) return;
    guestStep++;
    if (guestStep === 1) {
      if (ending === 'refuse') request.refuse(0, 'refused');
      else server.channel = request.accept(0, server);
    } else if (guestStep === 2) server.channel?.send(0, pattern(4), 0, 4);
    else if (guestStep === 3 && ending === 'abort') server.channel?.abort(0);
    else if (guestStep === 3) server.channel?.shutdown(0);
  };
  for (let i = 0, rest = code; i < steps; i++, rest >>= 2) {
    if ((rest & 3) === 0) ofHost();
    else if ((rest & 3) === 1) ofGuest();
    else if ((rest & 3) === 2) pair.carry(host, guest, 1000);
    else pair.carry(guest, host, 1000);
  }
  pair.run();
  while (hostStep < 3) ofHost();
  while (guestStep < 3) ofGuest();
  pair.run();
  const where = `code ${code.toString(4)}`;
  const last = client.sink.log.at(-1) ?? '';
  const expected = {
    shutdown: ['finished'],
    abort: extended ? ['reset-by-peer'] : ['reset-by-peer', 'finished', 'refused'],
    refuse: ['refused'],
  }[ending];
  assert.ok(expected.includes(last), `${where}: ${client.sink.log.join()}`);
  const ends = client.sink.log.filter((line) => line !== 'open' && line !== 'end');
  assert.equal(ends.length, 1, where);
  if (ending === 'shutdown') {
    assert.equal(server.log.at(-1), 'finished', where);
    assert.deepEqual(server.bytes, concat([pattern(3, 1), pattern(3, 2)]), where);
    assert.deepEqual(client.sink.bytes, pattern(4), where);
  }
  assert.equal(host.mux.channelCount + guest.mux.channelCount, 0, where);
  assert.equal(host.mux.windowsPromised + guest.mux.windowsPromised, 0, where);
}
