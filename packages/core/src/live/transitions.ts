/** The next state after an event, and the action to take. */
export interface Transition<State, Action> {
  to: State
  action: Action
}

/** In each state that isn't final, every event has exactly one transition. */
export type Transitions<State extends string, Final extends State, Event extends string, Action> = Record<
  Exclude<State, Final>,
  Record<Event, Transition<State, Action>>
>
