/** What decides about a flow that was allowed because of the name that its destination was looked up by. */
import type { Claim, Unreadable } from '../../services/sniff/reader.ts';

/** - `first-bytes-late`: a client did not say in time where it wants to go. */
export type InspectionFault = Unreadable | 'first-bytes-late';

/** Why a flow may not go on, as its guest is told; what is in it of the guest's own words is escaped. */
export type Denial = string;

/** Asked for the life of one flow. Both count a denial and show it to whoever follows them. */
export interface NameCheck {
  /** @returns undefined when the flow may go where the client says */
  onClaim(claim: Claim): Denial | undefined;
  /** @returns undefined when the flow may go on whatever is said: nothing is read any more */
  onFault(fault: InspectionFault): Denial | undefined;
}
