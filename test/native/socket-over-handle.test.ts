import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { adoptAccepted, feedData, type SocketReader } from '../../src/native/socket-over-handle.ts';

const SENT = Buffer.alloc(2_500, 'hawser ');
const BUFFER_LEN = 1_000;

/** Takes the bytes of one client; stops after each read on request. */
class Sink implements SocketReader {
  readonly buffer: Uint8Array = new Uint8Array(BUFFER_LEN);
  readonly parts: Buffer[] = [];
  socket: Socket | undefined = undefined;
  stops = false;

  readonly callback = (len: number): boolean => {
    this.parts.push(Buffer.from(this.buffer.subarray(0, len)));
    if (this.stops) setImmediate(() => this.socket?.resume());
    return !this.stops;
  };
}

/** A client sends {@link SENT}; `take` makes a reading socket of what the server accepted. */
async function receive(sink: Sink, take: (accepted: Socket) => Socket): Promise<Buffer> {
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  const client = connect(address.port, '127.0.0.1').end(SENT);
  const [accepted]: Socket[] = await once(server, 'connection');
  assert.ok(accepted !== undefined);
  const socket = take(accepted);
  sink.socket = socket;
  await once(socket, 'end');
  socket.destroy();
  client.destroy();
  server.close();
  await once(server, 'close'); // an adopted socket is not counted for ever
  for (const part of sink.parts) assert.ok(part.length <= BUFFER_LEN);
  return Buffer.concat(sink.parts);
}

describe('native/socket-over-handle', () => {
  it("moves an accepted socket's handle to one that reads into the buffer given", async () => {
    const sink = new Sink();
    const bytes = await receive(sink, (accepted) => {
      const socket = adoptAccepted(accepted, sink);
      assert.notEqual(socket, accepted);
      return socket;
    });
    assert.ok(bytes.equals(SENT));
  });

  it('a paused one reads nothing before it is resumed', async () => {
    const sink = new Sink();
    const bytes = await receive(sink, (accepted) => {
      const socket = adoptAccepted(accepted, sink, { paused: true, allowHalfOpen: true });
      setImmediate(() => {
        assert.deepEqual(sink.parts, []);
        socket.resume();
      });
      return socket;
    });
    assert.ok(bytes.equals(SENT));
  });

  it('stops where the reader says so, and goes on when resumed', async () => {
    const sink = new Sink();
    sink.stops = true;
    const bytes = await receive(sink, (accepted) => adoptAccepted(accepted, sink));
    assert.ok(bytes.equals(SENT));
  });

  for (const stops of [false, true]) {
    it(`gives the same from data events, where Node hides its handle${stops ? ', with stops' : ''}`, async () => {
      const sink = new Sink();
      sink.stops = stops;
      const bytes = await receive(sink, (accepted) => {
        feedData(accepted, sink);
        return accepted;
      });
      assert.ok(bytes.equals(SENT));
    });
  }
});
