/** Looking up a flow among 10,000, as for every segment; a Map of strings for comparison. */
import { makeKey, setKeyAddress, setKeyPorts } from '../../src/base/flow-key.ts';
import { FlowTable } from '../../src/base/flow-table.ts';
import { ipv4 } from '../../src/base/ip-address.ts';
import { runSuite } from './suite.ts';

const FLOWS = 10_000;
const table = new FlowTable<number>(FLOWS, 0x1234_5678);
const strings = new Map<string, number>();
const keys: Int32Array[] = [];
for (let i = 0; i < FLOWS; i++) {
  const key = makeKey();
  setKeyAddress(key, 0, ipv4(0xc0a8_7f02));
  setKeyAddress(key, 4, ipv4(0x0a00_0000 + (i % 200)));
  setKeyPorts(key, 1024 + i, 443);
  keys.push(key);
  table.set(key, i);
  strings.set(key.join(':'), i);
}
let at = 0;
const next = (): Int32Array => {
  at = at + 7 < FLOWS ? at + 7 : at + 7 - FLOWS;
  return keys[at] ?? makeKey();
};
runSuite(`one of ${FLOWS} flows`, {
  FlowTable: () => {
    table.get(next());
  },
  'Map of strings': () => {
    strings.get(next().join(':'));
  },
});
