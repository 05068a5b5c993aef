/** Where an event leads, and what is to be done then. */
export interface Transition<State, Action> {
  to: State
  action: Action
}

/** In each state that can be left, every event has one answer. */
export type Transitions<State extends string, Final extends State, Event extends string, Action> = Record<
  Exclude<State, Final>,
  Record<Event, Transition<State, Action>>
>
