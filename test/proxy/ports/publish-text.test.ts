import assert from 'node:assert/strict';
import fc from 'fast-check';
import {
  formatGuestSide,
  formatHostSide,
  PublishError,
} from '../../../src/proxy/ports/publish-spec.ts';
import { PublishSyntaxError, parsePublish } from '../../../src/proxy/ports/publish-text.ts';

const FORMS: readonly (readonly [string, readonly string[]])[] = [
  ['8080:80', ['localhost:8080/tcp > first guest:80']],
  ['8080:80/tcp', ['localhost:8080/tcp > first guest:80']],
  ['53:5353/udp', ['localhost:53/udp > first guest:5353']],
  ['0:80', ['localhost:0/tcp > first guest:80']],
  ['0.0.0.0:8080:80', ['0.0.0.0:8080/tcp > first guest:80']],
  ['8080:192.168.127.3:80', ['localhost:8080/tcp > 192.168.127.3:80']],
  ['10.0.0.1:8080:192.168.127.3:80', ['10.0.0.1:8080/tcp > 192.168.127.3:80']],
  ['[::1]:8080:[fd00::2]:80/udp', ['[::1]:8080/udp > [fd00::2]:80']],
  ['80:[fd12:3456:0:1::2]:81', ['localhost:80/tcp > [fd12:3456:0:1::2]:81']],
  ['80:[1:2:3::4:5:6]:81', ['localhost:80/tcp > [1:2:3::4:5:6]:81']],
  ['[::]:8080:80', ['*:8080/tcp > first guest:80']],
  ['*:8080:80', ['*:8080/tcp > first guest:80']],
  ['localhost:8080:80', ['localhost:8080/tcp > first guest:80']],
  ['127.0.0.1:8080:80', ['127.0.0.1:8080/tcp > first guest:80']],
  ['8080:Web-1.lan:80', ['localhost:8080/tcp > web-1.lan:80']],
  ['*:80-81:web:80-81/udp', ['*:80/udp > web:80', '*:81/udp > web:81']],
  ['8080:52:54:00:AB:34:56:80', ['localhost:8080/tcp > 52:54:00:ab:34:56:80']],
  ['8080:52-54-00-12-34-56:80', ['localhost:8080/tcp > 52:54:00:12:34:56:80']],
  ['[::1]:8080:52:54:00:12:34:56:80/udp', ['[::1]:8080/udp > 52:54:00:12:34:56:80']],
  ['unix:/tmp/x.sock:web:80', ['unix:/tmp/x.sock > web:80']],
  ['unix:/tmp/x.sock:52:54:00:12:34:56:80', ['unix:/tmp/x.sock > 52:54:00:12:34:56:80']],
  ['unix:/tmp/x.sock:192.168.127.3:80', ['unix:/tmp/x.sock > 192.168.127.3:80']],
  ['unix:/tmp/x.sock:[fd00::2]:80', ['unix:/tmp/x.sock > [fd00::2]:80']],
  ['unix:/tmp/x.sock:/run/docker.sock', ['unix:/tmp/x.sock > /run/docker.sock']],
  [
    '80-82:90-92',
    ['80 90', '81 91', '82 92'].map((p) => {
      const [host, guest] = p.split(' ');
      return `localhost:${host}/tcp > first guest:${guest}`;
    }),
  ],
];

const FAULTS: readonly (readonly [string, RegExp])[] = [
  ['', /"" is no host port/],
  ['80', /guest port is missing/],
  ['80:', /"" is no guest port/],
  [':80', /"" is no host port/],
  ['127.0.0.1::80', /"" is no host port/],
  ['80:0', /"0" is no guest port/],
  ['65536:80', /"65536" is no host port/],
  ['80:80:80', /"80" is too much/],
  ['web:80:80', /"web" is neither an address nor a port/],
  ['8080:we b:80', /"we b" is neither an address, nor a name, nor a port/],
  ['8080:300.1.1.1:80', /"300.1.1.1" is neither an address, nor a name, nor a port/],
  ['8080:52:54:00:12:34:80', /too much/],
  ['8080:52:54:00:12:34:56', /too much/],
  ['8080:52:54:00:12:34:56:78:80', /"78:80"|too much|"80" is too much/],
  ['::1:80:80', /./],
  ['80-82:90-91', /differ in length/],
  ['82-80:90-92', /"82-80" is no host port/],
  ['0-2:80-82', /"0-2" is no host port/],
  ['1-1025:1-1025', /at most 1024 ports/],
  ['80:80/sctp', /"sctp" is no protocol/],
  ['1.2.3.4:80:5.6.7.8:80:9', /"9" is too much/],
  ['unix:', /"" is not an absolute path/],
  ['unix:x.sock:/run/y', /"x.sock" is not an absolute path/],
  ['unix:/tmp/x', /"" is neither GUEST:PORT nor an absolute path/],
  ['unix:/tmp/x:80', /"80" is neither/],
  ['unix:/tmp/x:192.168.127.2:0', /"0" is no guest port/],
  ['unix:/tmp/x:192.168.127.2:80-81', /"80-81" is no guest port/],
  [`unix:/${'x'.repeat(107)}:/run/y`, /longer than 107 bytes/],
];

describe('proxy/ports/publish-text', () => {
  for (const [text, expected] of FORMS) {
    it(`reads ${text}`, () => {
      const read = parsePublish(text).map(
        (spec) => `${formatHostSide(spec)} > ${formatGuestSide(spec)}`,
      );
      assert.deepEqual(read, expected);
    });
  }

  for (const [text, why] of FAULTS) {
    it(`refuses "${text}" and says why`, () => {
      assert.throws(
        () => parsePublish(text),
        (error) =>
          error instanceof PublishError &&
          error.code === 'ERR_HAWSER_PUBLISH_SYNTAX' &&
          error instanceof PublishSyntaxError &&
          error.why.startsWith('must be ') &&
          why.test(error.message) &&
          /\[HOSTIP:\]HOSTPORT:\[GUEST:\]GUESTPORT|unix:HOSTPATH:/.test(error.message),
      );
    });
  }

  it('reads back every port pair', () => {
    const port = fc.integer({ min: 1, max: 65_535 });
    fc.assert(
      fc.property(fc.nat(65_535), port, fc.ipV4(), fc.constantFrom('tcp', 'udp'), (h, g, a, p) => {
        const [spec] = parsePublish(`${a}:${h}:${a}:${g}/${p}`);
        assert.ok(spec !== undefined && spec.protocol !== 'unix');
        assert.equal(spec.hostPort, h);
        assert.equal(spec.guestPort, g);
        assert.equal(spec.protocol, p);
        assert.equal(`${spec.hostAddress}`, `${spec.guestAddress}`);
      }),
    );
  });

  it('any other text is a PublishError, never another throw', () => {
    const text = fc.oneof(
      fc.string(),
      fc
        .array(
          fc.constantFrom('unix:', ':', '-', '/', '[', ']', '1', '80', 'udp', '::1', '1.2.3.4'),
        )
        .map((parts) => parts.join('')),
    );
    fc.assert(
      fc.property(text, (candidate) => {
        try {
          assert.ok(parsePublish(candidate).length > 0);
        } catch (error) {
          assert.ok(error instanceof PublishError, String(error));
        }
      }),
    );
  });
});
