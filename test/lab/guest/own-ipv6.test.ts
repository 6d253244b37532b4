import assert from 'node:assert/strict';
import { addressIn } from '../../../src/lab/guest/own-ipv6.ts';
import { requiredAddress } from '../../../src/network/addresses.ts';

const GATEWAY = requiredAddress('fd12:3456:789a:1::1');
const line = (address: string, flags: string, name = 'eth0'): string =>
  `${address} 02 40 00 ${flags}     ${name}\n`;
const OWN = 'fd123456789a0001505400fffe123456';

describe('own IPv6 address of a guest, in the list of its kernel', () => {
  const rows: readonly (readonly [string, string, string | undefined])[] = [
    ['of the network', line(OWN, '00'), 'fd12:3456:789a:1:5054:ff:fe12:3456'],
    ['tentative', line(OWN, '40'), undefined],
    ['a duplicate', line(OWN, 'c8'), undefined],
    ['temporary', line(OWN, '01'), undefined],
    ['of another interface', line(OWN, '00', 'eth1'), undefined],
    ['link-local alone', line('fe80000000000000505400fffe123456', '80'), undefined],
    [
      'after link-local and tentative ones',
      `${line('fe80000000000000505400fffe123456', '80')}${line(OWN, '40')}${line(OWN.replace(/6$/, '7'), '00')}`,
      'fd12:3456:789a:1:5054:ff:fe12:3457',
    ],
  ];
  for (const [what, list, expected] of rows) {
    it(what, () => assert.equal(addressIn(list, 'eth0', GATEWAY), expected));
  }
});
