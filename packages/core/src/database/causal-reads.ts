import type { mongo } from 'mongoose'

type ClusterTime = NonNullable<mongo.ClientSession['clusterTime']>

/**
 * Reads that know at least what the change stream has shown. After a failover the new primary may take a moment to apply what
 * the old one has told: without this, a view would show the past and take it for news. Each read has a session of its own, since
 * a session is for one command at a time; what they have seen is shared.
 */
export class CausalReads {
  readonly #client: mongo.MongoClient
  #operationTime: mongo.Timestamp | undefined
  #clusterTime: ClusterTime | undefined

  constructor(client: mongo.MongoClient) {
    this.#client = client
  }

  /**
   * @param operationTime when something happened that was seen
   * @param clusterTime the time of the set, signed, which a member believes that has not come so far
   */
  saw(operationTime: mongo.Timestamp | undefined, clusterTime?: ClusterTime): void {
    if (operationTime !== undefined && (this.#operationTime?.lessThan(operationTime) ?? true)) {
      this.#operationTime = operationTime
    }
    if (clusterTime !== undefined && (this.#clusterTime?.clusterTime.lessThan(clusterTime.clusterTime) ?? true)) {
      this.#clusterTime = clusterTime
    }
  }

  /** Carries out a read with a session that it must pass on to its command. */
  async read<T>(act: (session: mongo.ClientSession) => Promise<T>): Promise<T> {
    const session = this.#client.startSession({ causalConsistency: true })
    try {
      if (this.#clusterTime !== undefined) session.advanceClusterTime(this.#clusterTime)
      if (this.#operationTime !== undefined) session.advanceOperationTime(this.#operationTime)
      const answer = await act(session)
      this.saw(session.operationTime, session.clusterTime)
      return answer
    } finally {
      await session.endSession()
    }
  }
}
