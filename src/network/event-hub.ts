/**
 * The events of a network, for all that may follow them: listeners of the embedding program, subscribers of
 * `node:diagnostics_channel`, and readers of the API. Frequent kinds are made only while somebody follows: ask
 * {@link EventHub.has} first. Of the others the last are kept, for who comes later.
 *
 * Recording goes on for {@link LINGER_MS} after the last reader of the API, which may come again and want what it missed.
 */
import { channel } from 'node:diagnostics_channel';
import { Emitter } from '../base/emitter.ts';
import { plainValue } from '../base/plain-text.ts';
import { EventRing } from '../control/events/event-ring.ts';
import {
  EVENT_TYPES,
  type EventReader,
  type EventsView,
  type EventType,
  type GapEvent,
  type KeptEvent,
  type NetworkEvents,
  ON_WISH,
} from '../control/events/network-events.ts';
import { followersMax } from '../control/waiting-room.ts';
import type { Network } from './network-interface.ts';

export const LINGER_MS = 60_000;

/** The message on `hawser:guest`, `hawser:flow` and so on. */
export interface ChannelMessage<K extends EventType = EventType> {
  readonly network: Network | undefined;
  readonly event: NetworkEvents[K];
}

/** A guest can cause any number of them. */
const FREQUENT: ReadonlySet<string> = new Set<EventType>(['flow', 'block', 'limit', ...ON_WISH]);

const NONE: ReadonlySet<string> = new Set();

const channelName = (type: EventType): string => `hawser:${type}`;

export class EventHub extends Emitter<NetworkEvents> implements EventsView {
  /** In messages of channels, which are those of all networks of the process. */
  network: Network | undefined = undefined;
  private readonly channels = new Map(
    EVENT_TYPES.map((type) => [type, channel(channelName(type))]),
  );
  private readonly ring: EventRing;
  private readonly lingerMs: number;
  private readonly gapListeners = new Set<(gap: GapEvent) => void>();
  private readers = 0;
  private isRecording = false;
  /** Of the types on wish those that somebody wishes. */
  private readonly wished = new Set<string>();
  private timer: NodeJS.Timeout | undefined = undefined;

  constructor(
    ring: EventRing = new EventRing(Date.now().toString(36), Date.now),
    lingerMs: number = LINGER_MS,
  ) {
    super();
    this.ring = ring;
    this.lingerMs = lingerMs;
  }

  /** Whether anybody follows events of this type. */
  override has(type: EventType): boolean {
    if (this.isRecorded(type) || super.has(type)) return true;
    return this.channels.get(type)?.hasSubscribers === true;
  }

  /** @returns whether anybody follows one of `types`: for those that ask for every flow */
  asker(...types: readonly EventType[]): () => boolean {
    const asked = types.map((type) => ({ type, channel: channel(channelName(type)) }));
    return () => {
      for (const { type, channel: subscribed } of asked) {
        if (this.isRecorded(type) || super.has(type) || subscribed.hasSubscribers) return true;
      }
      return false;
    };
  }

  override emit<K extends EventType>(type: K, made: NetworkEvents[K]): void {
    const event = plainValue(made);
    if (this.isRecorded(type) || !FREQUENT.has(type)) this.ring.add(type, event);
    const { network } = this;
    const subscribed = this.channels.get(type);
    if (subscribed?.hasSubscribers === true) subscribed.publish({ network, event });
    super.emit(type, event);
  }

  /** Some were lost before they came here. */
  gap(gap: GapEvent): void {
    if (this.isRecording) this.ring.addGap(gap);
    for (const listener of this.gapListeners) listener(gap);
  }

  /** @returns what ends it */
  onGap(listener: (gap: GapEvent) => void): () => void {
    this.gapListeners.add(listener);
    return () => this.gapListeners.delete(listener);
  }

  read(lastId: string | undefined, wishes: ReadonlySet<string> = NONE): EventReader | undefined {
    // Of a program without types.
    if (typeof wishes?.has !== 'function') throw new TypeError('wishes must be a Set of types');
    if (this.readers >= followersMax('events')) return undefined;
    this.readers++;
    clearTimeout(this.timer);
    if (!this.isRecording) {
      this.isRecording = true;
      this.ring.begin();
    }
    for (const type of ON_WISH) if (wishes.has(type)) this.wished.add(type);
    const reader = this.ring.read(lastId);
    let isOpen = true;
    const close = (): void => {
      if (!isOpen) return;
      isOpen = false;
      reader.close();
      this.onReaderGone();
    };
    return { ...reader, close };
  }

  kept(lastId?: string): readonly KeptEvent[] {
    return this.ring.kept(lastId);
  }

  override clear(): void {
    super.clear();
    clearTimeout(this.timer);
  }

  private isRecorded(type: EventType): boolean {
    return this.isRecording && (!ON_WISH.has(type) || this.wished.has(type));
  }

  private onReaderGone(): void {
    this.readers--;
    if (this.readers > 0) return;
    this.timer = setTimeout(() => {
      this.isRecording = false;
      this.wished.clear();
      this.ring.thin((type) => !FREQUENT.has(type));
    }, this.lingerMs).unref();
  }
}
