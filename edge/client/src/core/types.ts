import type { CommandMap, EventMap } from '../generated/index.js';

/** The payload of an event: as declared, or anything for a name that only a service knows. */
export type EventOf<E extends string> = E extends keyof EventMap ? EventMap[E] : any;
/** What a command takes. */
export type RequestOf<C extends string> = C extends keyof CommandMap ? CommandMap[C][0] : unknown;
/** What a command that was carried out is acked with. */
export type AckOf<C extends string> = C extends keyof CommandMap ? CommandMap[C][1] : any;
