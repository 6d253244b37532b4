/** Three kernels on one segment: what they say of the groups that they joined is heard. */
import assert from 'node:assert/strict';
import { LAB, systemSuite } from '../support/requirements.ts';
import { type Guest, Lab } from './support/lab.ts';
import { until } from './support/until.ts';

const ADDRESS = 'fd09::2';
/** What a question for it is sent to. */
const ITS_GROUP = 'ff02::1:ff00:2';
/** Reports count ten seconds after the first question. */
const LEARNED_MS = 60_000;

const ASK_AGAIN = `for i in 1 2 3 4 5; do
  ip -6 neigh flush dev eth0
  ping -6 -c 1 -W 1 ${ADDRESS} >/dev/null && echo answered
  sleep 0.3
done`;

/** Whether a frame to the group comes within a while. */
async function hears(guest: Guest): Promise<boolean> {
  const filter = ['-c', '1', '-ni', 'eth0', 'dst', 'host', ITS_GROUP];
  const { status } = await guest.try('timeout', '3', 'tcpdump', ...filter);
  return status === 0;
}

systemSuite('groups of IPv6', [...LAB, 'tcpdump', 'ping'], function () {
  this.timeout(120_000);
  let lab: Lab;
  beforeEach(async () => {
    lab = await Lab.open();
  });
  afterEach(() => lab.close());

  it('a question for one guest is not heard by another, and is answered as before', async () => {
    const guests = [await lab.addGuest(), await lab.addGuest(), await lab.addGuest()] as const;
    await lab.startDaemon(guests.flatMap(({ link }) => ['--listen', link]));
    for (const [i, guest] of guests.entries()) {
      await guest.run('ip', 'link', 'set', 'eth0', 'up');
      await guest.run('ip', 'addr', 'add', `fd09::${i + 1}/64`, 'dev', 'eth0');
    }
    const [asker, asked, other] = guests;
    const answers = await until(
      'a question that only the asked one hears',
      async () => {
        const asking = asker.run('sh', '-c', ASK_AGAIN);
        const heard = await Promise.all([hears(asked), hears(other)]);
        const said = await asking;
        return heard[0] && !heard[1] && said !== '' ? said : undefined;
      },
      LEARNED_MS,
    );
    assert.match(answers, /answered/);
  });
});
