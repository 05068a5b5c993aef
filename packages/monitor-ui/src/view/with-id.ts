import { freshId } from './new-task.ts'

/** What was sent last. */
export interface SentId {
  content: string
  _id: string
}

/** A request with an id: the same content keeps its own, so that sending it again after a lost answer makes no second one. */
export function withId<R extends object>(request: R, sent: SentId): R & { _id: string } {
  const content = JSON.stringify(request)
  if (content !== sent.content) {
    sent.content = content
    sent._id = freshId()
  }
  return { ...request, _id: sent._id }
}
