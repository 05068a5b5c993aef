import type { mongo } from 'mongoose'

type ClusterTime = NonNullable<mongo.ClientSession['clusterTime']>

/**
 * Reads that include at least all changes that the change stream has reported. After a failover, the new primary may need a
 * moment to apply changes that the old one has reported. Without this, a view could take an old state for a new one. Each read
 * has its own session, because a session allows one command at a time. All sessions share the observed times.
 */
export class CausalReads {
  readonly #client: mongo.MongoClient
  #operationTime: mongo.Timestamp | undefined
  #clusterTime: ClusterTime | undefined

  constructor(client: mongo.MongoClient) {
    this.#client = client
  }

  /**
   * @param operationTime the time of an observed change
   * @param clusterTime the set's signed time, so that a member that is behind accepts the operation time
   */
  saw(operationTime: mongo.Timestamp | undefined, clusterTime?: ClusterTime): void {
    if (operationTime !== undefined && (this.#operationTime?.lessThan(operationTime) ?? true)) {
      this.#operationTime = operationTime
    }
    if (clusterTime !== undefined && (this.#clusterTime?.clusterTime.lessThan(clusterTime.clusterTime) ?? true)) {
      this.#clusterTime = clusterTime
    }
  }

  /** Runs a read with a session, which the read must pass to its command. */
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
