/**
 * Answers about what cannot be held, datagrams and pings: where a hook has not answered yet they are dropped, and its answer
 * holds for a while, for whoever sends again. An answer that is there at once is not kept. Of each guest there are so many.
 */
import type { Clock, Instant } from '../../base/time.ts';
import type { GateDenial } from '../../proxy/flows/flow-gate.ts';
import type { Guest } from '../../stack/guest.ts';
import { ANSWER_HOLDS_MS } from './hooks.ts';

export const ANSWERS_OF_GUEST = 256;

const PENDING: GateDenial = {
  ...{ why: 'program', text: 'the hook has not answered yet', isPending: true },
};

interface Held {
  /** {@link PENDING}, a denial, or none. */
  denial: GateDenial | undefined;
  /** Infinite while it is pending. */
  until: Instant;
}

export class HeldAnswers {
  private readonly clock: Pick<Clock, 'now'>;
  private readonly byGuest = new WeakMap<object, Map<string, Held>>();
  /** Those of clients, which have no guest. */
  private readonly nobody = {};

  constructor(clock: Pick<Clock, 'now'>) {
    this.clock = clock;
  }

  /** @param ask has its callback called once, maybe at once */
  ask(
    owner: Guest | undefined,
    key: string,
    ask: (decided: (denial: GateDenial | undefined) => void) => void,
  ): GateDenial | undefined {
    const answers = this.of(owner ?? this.nobody);
    const known = answers.get(key);
    if (known !== undefined && known.until > this.clock.now()) return known.denial;
    const held: Held = { denial: PENDING, until: Number.POSITIVE_INFINITY };
    let isAtOnce = true;
    let isDecided = false;
    ask((denial) => {
      isDecided = true;
      held.denial = denial;
      held.until = isAtOnce ? Number.NEGATIVE_INFINITY : this.clock.now() + ANSWER_HOLDS_MS;
    });
    isAtOnce = false;
    if (isDecided) answers.delete(key);
    else this.keep(answers, key, held);
    return held.denial;
  }

  private keep(answers: Map<string, Held>, key: string, held: Held): void {
    answers.delete(key);
    for (const oldest of answers.keys()) {
      if (answers.size < ANSWERS_OF_GUEST) break;
      answers.delete(oldest);
    }
    answers.set(key, held);
  }

  private of(owner: object): Map<string, Held> {
    const known = this.byGuest.get(owner);
    if (known !== undefined) return known;
    const made = new Map<string, Held>();
    this.byGuest.set(owner, made);
    return made;
  }
}
