import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import {
  formatMuxLink,
  MuxLinkSpecError,
  muxLinkListensAt,
  parseAgentLink,
  parseMuxLink,
} from '../../../src/transports/mux/mux-link-spec.ts';

describe('mux link specifications', () => {
  for (const text of [
    'unix:/run/a.sock',
    'connect:unix:/run/a.sock',
    'guest:4099',
    'hybrid-vsock:/run/fc.vsock:52',
    'vsock:3:4294967294',
    'vhost-vsock:/run/v:1.sock:4099',
  ]) {
    it(`${text} reads back`, () => assert.equal(formatMuxLink(parseMuxLink(text)), text));
  }

  it('a relative path is made absolute', () => {
    assert.equal(formatMuxLink(parseMuxLink('unix:a.sock')), `unix:${resolve('a.sock')}`);
  });

  for (const [text, why] of [
    ['', /must be unix:PATH/],
    ['tcp:127.0.0.1:1', /must be unix:PATH/],
    ['unix:', /must name a path/],
    [`unix:/${'x'.repeat(200)}`, /201 bytes/],
    ['connect:tcp:1', /connect:unix:PATH/],
    ['guest:0', /guest:PORT/],
    ['guest:65536', /guest:PORT/],
    ['hybrid-vsock:/run/x', /hybrid-vsock:PATH:PORT/],
    ['vsock:3', /vsock:CID:PORT/],
    ['vsock:3:4294967295', /vsock:CID:PORT/],
  ] as const) {
    it(`"${text.slice(0, 20)}" is refused with what is allowed`, () => {
      assert.throws(
        () => parseMuxLink(text),
        (error) => error instanceof MuxLinkSpecError && why.test(error.why),
      );
    });
  }

  it('says which sockets are made', () => {
    const at = (text: string): string | undefined => muxLinkListensAt(parseMuxLink(text));
    assert.equal(at('unix:/run/a'), '/run/a');
    assert.equal(at('hybrid-vsock:/run/a:5'), '/run/a_5');
    assert.equal(at('vhost-vsock:/run/a:5'), '/run/a');
    assert.equal(at('connect:unix:/run/a'), undefined);
    assert.equal(at('guest:5'), undefined);
  });

  for (const [use, text, expected] of [
    ['listen', 'tcp:0.0.0.0:4099', { kind: 'tcp', host: '0.0.0.0', port: 4099 }],
    ['listen', 'unix:/run/a', { kind: 'unix', path: '/run/a' }],
    ['listen', 'vsock:4099', { kind: 'vsock', cid: undefined, port: 4099 }],
    ['connect', 'vsock:2:4099', { kind: 'vsock', cid: 2, port: 4099 }],
    ['connect', 'connect:unix:/run/a', { kind: 'unix', path: '/run/a' }],
  ] as const) {
    it(`the agent ${use}s ${text}`, () => assert.deepEqual(parseAgentLink(text, use), expected));
  }

  it('the agent neither listens on a CID nor dials without one', () => {
    assert.throws(() => parseAgentLink('vsock:2:4099', 'listen'), MuxLinkSpecError);
    assert.throws(() => parseAgentLink('vsock:4099', 'connect'), MuxLinkSpecError);
    assert.throws(() => parseAgentLink('guest:1', 'listen'), MuxLinkSpecError);
  });
});
