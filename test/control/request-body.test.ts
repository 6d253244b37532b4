import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, IncomingMessage } from 'node:http';
import { connect, Socket } from 'node:net';
import { ProblemError } from '../../src/control/problem.ts';
import { readBody, readJsonText } from '../../src/control/request-body.ts';

/** What `read` makes of a body that comes in pieces, each in a turn of its own. */
async function bodyIn<T>(
  pieces: readonly Uint8Array[],
  mediaType: string,
  read: (request: IncomingMessage) => Promise<T>,
): Promise<T> {
  const request = Object.assign(new IncomingMessage(new Socket()), {
    headers: { 'content-type': mediaType },
  });
  const done = read(request);
  done.catch(() => {}); // it may be refused before all is there
  for (const piece of pieces) {
    request.push(piece);
    await new Promise(setImmediate);
  }
  request.push(null);
  return await done;
}

const bytesOf = (text: string): readonly Uint8Array[] =>
  Array.from(Buffer.from(text), (byte) => Uint8Array.of(byte));

describe('control/request-body', () => {
  it('text is that of all pieces, wherever they are cut', async () => {
    const text = '{"name":"bücher.test","rest":"日本語 😀"}';
    assert.equal(await bodyIn(bytesOf(text), 'application/json; x', readJsonText), text);
    assert.equal(await bodyIn([], 'text/plain', readJsonText), undefined);
  });

  const refused: readonly (readonly [string, readonly Uint8Array[], string, number])[] = [
    ['of another type', bytesOf('{}'), 'text/plain', 415],
    ['of another type, that is not UTF-8', [Uint8Array.of(0xff)], 'text/plain', 415],
    [
      'that is not UTF-8',
      [...bytesOf('{"a":"'), Uint8Array.of(0xff), ...bytesOf('"}')],
      'application/json',
      400,
    ],
    ['cut within a letter', [...bytesOf('{"a":"'), Uint8Array.of(0xc3)], 'application/json', 400],
    ['larger than the limit', bytesOf('{"a":"0123456789"}'), 'application/json', 413],
  ];
  for (const [what, pieces, mediaType, status] of refused) {
    it(`a body ${what} is refused by ${status}`, async () => {
      await assert.rejects(
        bodyIn(pieces, mediaType, (request) => readJsonText(request, 16)),
        (error) => error instanceof ProblemError && error.problem.status === status,
      );
    });
  }

  for (const how of ['reset', 'closed'] as const) {
    it(`a client whose connection is ${how} within the body has made the mistake, not hawser`, async () => {
      const server = createServer().listen(0, '127.0.0.1');
      await once(server, 'listening');
      const address = server.address();
      assert.ok(typeof address === 'object' && address !== null);
      const client = connect(address.port, '127.0.0.1');
      try {
        client.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{');
        const request = await new Promise<IncomingMessage>((resolve) => {
          server.once('request', resolve);
        });
        const body = assert.rejects(
          readBody(request),
          (error) => error instanceof ProblemError && error.problem.status === 400,
        );
        if (how === 'reset') client.resetAndDestroy();
        else client.end();
        await body;
      } finally {
        client.destroy();
        server.close();
      }
    });
  }
});
