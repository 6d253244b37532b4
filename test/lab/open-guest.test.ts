import assert from 'node:assert/strict';
import { simulate } from '../../src/lab/guest/simulated-guest.ts';
import { openGuest } from '../../src/lab/open-guest.ts';
import { UsageError } from '../../src/network/errors.ts';

describe('lab/open-guest', () => {
  it('takes the kind that is asked for, and says that no kernel is involved', async () => {
    const { guest, notes } = await openGuest(simulate, 'simulated');
    assert.equal(guest.kind, 'simulated');
    assert.match(notes.join(), /no second kernel is involved/);
    await guest.close();
  });

  it('takes no other kind instead', async () => {
    await assert.rejects(openGuest(undefined, 'simulated'), {
      code: 'ERR_HAWSER_GUEST_UNAVAILABLE',
    });
  });

  it('a kind that there is not is bad usage, with those that there are', async () => {
    await assert.rejects(openGuest(simulate, 'vm'), (error) => {
      assert.ok(error instanceof UsageError);
      assert.match(error.message, /HAWSER_DEMO_GUEST vm: must be one of tap, packet, simulated/);
      return true;
    });
  });
});
