import assert from 'node:assert/strict';
import { ipv4 } from '../../../src/base/ip-address.ts';
import { formatSshTunnel, parseSshTunnel } from '../../../src/proxy/ports/ssh-tunnel.ts';

const GUEST = { guestAddress: ipv4(0xc0a8_7f02 | 0) };
const LOGIN = { user: 'core', keyFile: '/k/id', passphrase: undefined };
const PATH = '/run/podman/podman.sock';

describe('ssh-tunnel URLs', () => {
  const rows: readonly [string, unknown][] = [
    [
      `ssh-tunnel://core@192.168.127.2:2022${PATH}?key=/k/id`,
      { ...GUEST, guestPort: 2022, guestPath: PATH, ssh: LOGIN },
    ],
    [
      `ssh-tunnel://core@192.168.127.2${PATH}?key=/k/id`,
      { ...GUEST, guestPort: 22, guestPath: PATH, ssh: LOGIN },
    ],
    [
      'ssh-tunnel://a%40b@192.168.127.2/a%20b?passphrase=x%26y&key=%2Fk%2Fid',
      {
        ...{ ...GUEST, guestPort: 22, guestPath: '/a b' },
        ssh: { user: 'a@b', keyFile: '/k/id', passphrase: 'x&y' },
      },
    ],
    [
      'ssh-tunnel://core@build/s?key=/k/id',
      {
        ...{ guestAddress: undefined, guest: { kind: 'name', name: 'build' } },
        ...{ guestPort: 22, guestPath: '/s', ssh: LOGIN },
      },
    ],
    [`ssh-tunnel://core@192.168.127.2${PATH}`, 'no-key'],
    [`ssh-tunnel://core@192.168.127.2${PATH}?key=`, 'no-key'],
    ['ssh-tunnel://core@192.168.127.2?key=/k', 'no-path'],
    ['ssh-tunnel://core@192.168.127.2/?key=/k', 'no-path'],
    ['ssh-tunnel://192.168.127.2/s?key=/k', 'no-user'],
    ['ssh-tunnel:///s?key=/k', 'no-guest'],
    ['ssh-tunnel://core@192.168.127.2:99999/s?key=/k', 'not-a-url'],
    ['http://core@192.168.127.2/s?key=/k', 'not-a-url'],
  ];
  for (const [text, expected] of rows) {
    it(`${text} -> ${typeof expected === 'string' ? expected : 'accepted'}`, () => {
      assert.deepEqual(parseSshTunnel(text), expected);
    });
  }

  it('are shown without a passphrase', () => {
    const text = formatSshTunnel('192.168.127.2:22', PATH, { ...LOGIN, passphrase: 'secret' });
    assert.equal(text, `ssh-tunnel://core@192.168.127.2:22${PATH}?key=/k/id`);
  });
});
