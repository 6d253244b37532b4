/**
 * Answers about what cannot be held, datagrams and pings: where a hook has not answered yet they are dropped, and its answer
 * holds for a while, for whoever sends again. An answer that is there at once is not kept. Of each guest there are so many.
 */
import type { Clock, Instant } from '../../base/time.ts';
import type { GateAnswer, GateDenial } from '../../proxy/flows/flow-gate.ts';
import type { Guest } from '../../stack/guest.ts';
import { ANSWER_HOLDS_MS } from './hooks.ts';

export const ANSWERS_OF_GUEST = 256;

const PENDING: GateDenial = {
  ...{ why: 'program', text: 'the hook has not answered yet', isPending: true },
};

interface Held<A> {
  /** {@link PENDING} until there is one. */
  answer: A | GateDenial;
  /** Infinite while it is pending. */
  until: Instant;
}

/** @typeParam A of an answer: undefined is `allow` */
export class HeldAnswers<A extends GateAnswer> {
  private readonly clock: Pick<Clock, 'now'>;
  private readonly byGuest = new WeakMap<object, Map<string, Held<A>>>();
  /** Those of clients, which have no guest. */
  private readonly nobody = {};

  constructor(clock: Pick<Clock, 'now'>) {
    this.clock = clock;
  }

  /** @param ask has its callback called once, maybe at once */
  ask(
    owner: Guest | undefined,
    key: string,
    ask: (decided: (answer: A) => void) => void,
  ): A | GateDenial {
    const answers = this.of(owner ?? this.nobody);
    const known = answers.get(key);
    if (known !== undefined && known.until > this.clock.now()) return known.answer;
    const held: Held<A> = { answer: PENDING, until: Number.POSITIVE_INFINITY };
    let isAtOnce = true;
    let isDecided = false;
    ask((answer) => {
      isDecided = true;
      held.answer = answer;
      held.until = isAtOnce ? Number.NEGATIVE_INFINITY : this.clock.now() + ANSWER_HOLDS_MS;
    });
    isAtOnce = false;
    if (isDecided) answers.delete(key);
    else this.keep(answers, key, held);
    return held.answer;
  }

  private keep(answers: Map<string, Held<A>>, key: string, held: Held<A>): void {
    answers.delete(key);
    for (const oldest of answers.keys()) {
      if (answers.size < ANSWERS_OF_GUEST) break;
      answers.delete(oldest);
    }
    answers.set(key, held);
  }

  private of(owner: object): Map<string, Held<A>> {
    const known = this.byGuest.get(owner);
    if (known !== undefined) return known;
    const made = new Map<string, Held<A>>();
    this.byGuest.set(owner, made);
    return made;
  }
}
