import { runSoak } from '../soak/soak.ts';
import { LAB, systemSuite } from '../support/requirements.ts';

systemSuite('a hostile guest beside a good one', [...LAB, 'dig', 'ping'], function () {
  this.timeout(120_000);

  it('20 seconds of broken frames leave the daemon in service and its memory bounded', async () => {
    await runSoak({ durationMs: 20_000, seed: 7 });
  });
});
