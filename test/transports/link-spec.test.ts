import assert from 'node:assert/strict';
import {
  descriptorsOf,
  type LinkSpec,
  listensAt,
  parseLinkSpec,
} from '../../src/transports/link-spec.ts';

const GOOD: readonly (readonly [string, LinkSpec])[] = [
  ['qemu:/run/x.sock', { scheme: 'qemu', address: { path: '/run/x.sock' } }],
  ['qemu:x.sock', { scheme: 'qemu', address: { path: 'x.sock' } }],
  ['qemu:./odd:1', { scheme: 'qemu', address: { path: './odd:1' } }],
  ['qemu:127.0.0.1:7000', { scheme: 'qemu', address: { host: '127.0.0.1', port: 7000 } }],
  ['qemu:[::1]:0', { scheme: 'qemu', address: { host: '::1', port: 0 } }],
  ['qemu-connect:/q', { scheme: 'qemu-connect', address: { path: '/q' } }],
  ['vpnkit:/run/k', { scheme: 'vpnkit', address: { path: '/run/k' } }],
  ['vpnkit:127.0.0.1:0', { scheme: 'vpnkit', address: { host: '127.0.0.1', port: 0 } }],
  [
    'ws:127.0.0.1:80',
    { scheme: 'ws', address: { host: '127.0.0.1', port: 80 }, path: undefined, framing: undefined },
  ],
  [
    'ws:127.0.0.1:80?framing=qemu',
    { scheme: 'ws', address: { host: '127.0.0.1', port: 80 }, path: undefined, framing: 'qemu' },
  ],
  [
    'ws:[::1]:0/a/b',
    { scheme: 'ws', address: { host: '::1', port: 0 }, path: '/a/b', framing: undefined },
  ],
  ['vhost-user:/run/v.sock', { scheme: 'vhost-user', path: '/run/v.sock' }],
  ['vfkit:/run/v.sock', { scheme: 'vfkit', path: '/run/v.sock' }],
  ['bess:b.sock', { scheme: 'bess', path: 'b.sock' }],
  ['fd-socket:/run/f.sock', { scheme: 'fd-socket', path: '/run/f.sock' }],
  ['qemu-dgram:/a,/b', { scheme: 'qemu-dgram', path: '/a', remote: '/b' }],
  ['tap:tap0', { scheme: 'tap', name: 'tap0', netns: undefined }],
  ['tap:tap0@guest', { scheme: 'tap', name: 'tap0', netns: 'guest' }],
  ['fd:3', { scheme: 'fd', fd: 3, framing: undefined }],
  ['fd:7:qemu', { scheme: 'fd', fd: 7, framing: 'qemu' }],
  ['fd:7:hyperkit', { scheme: 'fd', fd: 7, framing: 'hyperkit' }],
  ['fd:0:packet-vnet', { scheme: 'fd', fd: 0, framing: 'packet-vnet' }],
  ['stdio', { scheme: 'stdio' }],
  ['tap:t@/proc/1/ns/net', { scheme: 'tap', name: 't', netns: '/proc/1/ns/net' }],
];

const BAD: readonly (readonly [string, RegExp])[] = [
  ['', /must be a link: one of qemu:PATH/],
  ['qemu', /must be qemu:PATH or qemu:IP:PORT/],
  ['qemu:', /must be qemu:PATH or qemu:IP:PORT/],
  ['qemu:localhost:7000', /must be qemu:IP:PORT/],
  ['qemu:::1:7000', /must be qemu:IP:PORT/],
  ['qemu:[127.0.0.1]:7000', /must be qemu:IP:PORT/],
  ['qemu:1.2.3.4:65536', /must be qemu:IP:PORT/],
  ['qemu:1.2.3.4:x', /must be qemu:IP:PORT/],
  [`qemu:/${'x'.repeat(120)}`, /a path of 121 bytes: must be at most/],
  ['qemu:127.0.0.1', /must be qemu:IP:PORT/],
  ['qemu:localhost', /must be qemu:IP:PORT/],
  ['qemu:[::1]', /must be qemu:IP:PORT/],
  ['qemu:8080', /must be qemu:IP:PORT/],
  ['qemu-connect:127.0.0.1', /must be qemu-connect:IP:PORT/],
  ['qemu:/a\0b', /must name a path/],
  ['vhost-user:', /must be vhost-user:PATH/],
  ['vhost-user', /must be vhost-user:PATH/],
  [`vhost-user:/${'x'.repeat(120)}`, /a path of 121 bytes: must be at most/],
  ['vfkit:', /must be vfkit:PATH/],
  ['bess:', /must be bess:PATH/],
  ['fd-socket', /must be fd-socket:PATH/],
  ['qemu-dgram:/a', /must be qemu-dgram:LOCAL,REMOTE/],
  ['qemu-dgram:/a,', /must be qemu-dgram:LOCAL,REMOTE/],
  ['qemu-dgram:/a,/a', /must be qemu-dgram:LOCAL,REMOTE/],
  ['qemu-dgram:/a,/b,/c', /must be qemu-dgram:LOCAL,REMOTE/],
  [`qemu-dgram:/a,/${'x'.repeat(120)}`, /a path of 121 bytes: must be at most/],
  ['tap:', /TAP name/],
  ['tap:a-name-that-is-long', /TAP name/],
  ['tap:a/b', /TAP name/],
  ['tap:t@', /must name a network namespace/],
  ['vpnkit:', /must be vpnkit:PATH/],
  ['fd:', /must be fd:N\[:FRAMING\]/],
  ['fd:1', /3 or more/],
  ['fd:2:qemu', /3 or more/],
  ['fd:-3', /must be fd:N/],
  ['fd:x', /must be fd:N/],
  ['fd:1048576', /must be fd:N/],
  ['fd:3:', /one of qemu, vpnkit/],
  ['fd:3:frames', /one of qemu, vpnkit/],
  ['ws:', /must be ws:IP:PORT\[\/PATH\]/],
  ['ws:127.0.0.1:80?framing=', /must be ws:IP:PORT/],
  ['ws:127.0.0.1:80?framing=packet', /must be ws:IP:PORT/],
  ['ws:/x', /must be ws:IP:PORT/],
  ['ws:localhost:80', /must be ws:IP:PORT/],
  ['ws:127.0.0.1:80/a b', /must be ws:IP:PORT/],
  ['ws:127.0.0.1:80/a?b', /must be ws:IP:PORT/],
  ['stdio:', /one of qemu:PATH/],
  ['slirp:x', /must be a link: one of/],
];

describe('transports/link-spec', () => {
  for (const [text, spec] of GOOD) {
    it(`understands ${text}`, () => assert.deepEqual(parseLinkSpec(text), spec));
  }
  it('a link that waits for guests says where', () => {
    assert.deepEqual(listensAt(parseLinkSpec('vfkit:/a')), { path: '/a' });
    assert.deepEqual(listensAt(parseLinkSpec('bess:/a')), { path: '/a' });
    assert.deepEqual(listensAt(parseLinkSpec('fd-socket:/a')), { path: '/a' });
    assert.deepEqual(listensAt(parseLinkSpec('qemu-dgram:/a,/b')), { path: '/a' });
    assert.deepEqual(listensAt(parseLinkSpec('qemu:/a')), { path: '/a' });
    assert.deepEqual(listensAt(parseLinkSpec('qemu:[::1]:7')), { host: '::1', port: 7 });
    assert.deepEqual(listensAt(parseLinkSpec('vhost-user:/a')), { path: '/a' });
    assert.equal(listensAt(parseLinkSpec('qemu-connect:/a')), undefined);
    assert.equal(listensAt(parseLinkSpec('tap:t')), undefined);
    assert.equal(listensAt(parseLinkSpec('fd:3')), undefined);
    assert.equal(listensAt(parseLinkSpec('stdio')), undefined);
  });
  it("says which inherited descriptors are a link's own", () => {
    assert.deepEqual(descriptorsOf(parseLinkSpec('stdio')), [0, 1]);
    assert.deepEqual(descriptorsOf(parseLinkSpec('fd:9:vpnkit')), [9]);
    assert.deepEqual(descriptorsOf(parseLinkSpec('tap:t')), []);
  });
  for (const [text, why] of BAD) {
    it(`refuses '${text}', naming it`, () => {
      assert.throws(
        () => parseLinkSpec(text),
        (error: Error & { code?: string }) =>
          error.code === 'ERR_HAWSER_LINK_SPEC' &&
          why.test(error.message) &&
          error.message.includes(`'${text}'`),
      );
    });
  }
});
