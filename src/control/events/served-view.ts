import type { NetworkView } from '../network-view.ts';
import type { EventsView } from './network-events.ts';

/** A network's state, and what happens in it. */
export interface ServedView extends NetworkView {
  readonly events: EventsView;
}
