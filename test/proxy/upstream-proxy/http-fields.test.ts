import assert from 'node:assert/strict';
import { endToEnd } from '../../../src/proxy/upstream-proxy/http-fields.ts';

describe('proxy/upstream-proxy: fields that are passed on', () => {
  it('are those of no hop, in their order and spelling', () => {
    const raw = [
      'HOST',
      'a',
      'Connection',
      'close, x-own',
      'X-Own',
      '1',
      'Keep-Alive',
      '5',
      'Via',
      'b',
    ];
    assert.deepEqual(endToEnd(raw), ['HOST', 'a', 'Via', 'b']);
  });

  it('are never fewer of those that frame the message, whatever Connection names', () => {
    const raw = ['Connection', 'Content-Length, Host', 'Content-Length', '3', 'Host', 'a'];
    assert.deepEqual(endToEnd(raw), ['Content-Length', '3', 'Host', 'a']);
  });

  it('may be those of an upgrade, and without chunks', () => {
    const raw = ['Connection', 'Upgrade', 'Upgrade', 'x', 'Transfer-Encoding', 'chunked'];
    const only = ['connection', 'upgrade'];
    assert.deepEqual(endToEnd(raw, { only, withoutChunks: true }), raw.slice(0, 4));
  });
});
