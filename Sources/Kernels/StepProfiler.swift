import Diagnostics

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Times the parts of a step, for a table and for a trace.
///
/// ```swift
/// compute.profiler = StepProfiler(threads: compute.threadCount)
/// compute.profiler?.isRecording = true
/// compute.part(.norm) { … }
/// ```
///
/// Its memory is allocated at once, so recording allocates nothing; events that find no room are
/// counted and dropped, while the totals go on. Parts belong to the thread that calls the kernels;
/// of the pool's other threads it knows when they worked and for how long. It knows no ranks.
@safe
public final class StepProfiler {
  /// A stretch of time that one thread spent in a part.
  public struct Event {
    /// When it began, in nanoseconds of the system's monotonic clock.
    public let start: Int64
    /// How long it took, in nanoseconds.
    public let duration: Int64
    /// The block, or -1 outside of the blocks.
    public let block: Int32
    /// The thread; 0 is the one that calls the kernels.
    public let thread: UInt16
    private let partNumber: UInt8
    private let directionNumber: UInt8

    init(
      start: Int64, duration: Int64, block: Int32, thread: Int, part: StepPart,
      direction: StepDirection
    ) {
      self.start = start
      self.duration = duration
      self.block = block
      self.thread = UInt16(thread)
      partNumber = UInt8(part.rawValue)
      directionNumber = UInt8(direction.rawValue)
    }

    /// The part.
    public var part: StepPart { StepPart(rawValue: Int(partNumber)) ?? .step }
    /// Which way it went.
    public var direction: StepDirection { StepDirection(rawValue: Int(directionNumber)) ?? .none }
  }

  /// What a part took by itself, without the parts in it.
  public struct Total {
    /// Nanoseconds of the calling thread.
    public var wall: Int64 = 0
    /// Nanoseconds that all threads together spent in blocks of kernels.
    public var busy: Int64 = 0
    /// Times it was entered.
    public var count: Int64 = 0
  }

  /// Room for so many events when nobody says how many: 8 MiB.
  public static let defaultCapacity = 1 << 18

  /// Whether parts are timed.
  public var isRecording = false {
    didSet { lastMark = StepProfiler.now() }
  }
  /// Events that found no room.
  public private(set) var droppedEvents = 0
  /// Events recorded.
  public private(set) var eventCount = 0
  /// Threads of the pool.
  public let threads: Int

  private struct Open {
    var part = StepPart.step
    var direction = StepDirection.none
    var block: Int32 = -1
    var start: Int64 = 0
  }

  /// What a thread did in the part at hand; a cache line each, since threads write them at once.
  private struct Work {
    var first: Int64 = 0
    var last: Int64 = 0
    var busy: Int64 = 0
    var padding: (Int64, Int64, Int64, Int64, Int64) = (0, 0, 0, 0, 0)
  }

  private static let deepest = 32
  private let capacity: Int
  private let events: UnsafeMutablePointer<Event>
  private let open: UnsafeMutablePointer<Open>
  private let totals: UnsafeMutablePointer<Total>
  private let work: UnsafeMutablePointer<Work>
  private var depth = 0
  private var direction = StepDirection.none
  private var block: Int32 = -1
  private var lastMark: Int64 = 0
  /// Whether a job of the pool is running; blocks must not enter parts, since they run on any thread.
  private var isInJob = false

  /// A profiler for a pool of `threads` threads.
  public init(threads: Int, capacity: Int = StepProfiler.defaultCapacity) {
    self.threads = threads
    self.capacity = capacity
    events = .allocate(capacity: max(capacity, 1))
    open = .allocate(capacity: StepProfiler.deepest)
    open.initialize(repeating: Open(), count: StepProfiler.deepest)
    let kinds = StepPart.allCases.count * StepDirection.allCases.count
    totals = .allocate(capacity: kinds)
    totals.initialize(repeating: Total(), count: kinds)
    work = .allocate(capacity: threads)
    work.initialize(repeating: Work(), count: threads)
  }

  deinit {
    events.deallocate()
    open.deallocate()
    totals.deallocate()
    work.deallocate()
  }

  /// Nanoseconds of the system's monotonic clock.
  ///
  /// The corresponding C function is `clock_gettime`.
  public static func now() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
  }

  /// What a part took in one direction.
  public func total(_ part: StepPart, _ direction: StepDirection) -> Total {
    totals[index(part, direction)]
  }

  /// One of the events, in the order in which they ended.
  public func event(_ number: Int) -> Event {
    precondition(number >= 0 && number < eventCount, "event \(number) of \(eventCount)")
    return events[number]
  }

  /// Enters a part; it must be left by ``end()``.
  public func begin(_ part: StepPart) {
    guard isRecording && !isInJob else { return }
    precondition(depth < StepProfiler.deepest, "parts nest deeper than \(StepProfiler.deepest)")
    let now = mark()
    open[depth] = Open(part: part, direction: direction, block: block, start: now)
    depth += 1
    totals[index(part, direction)].count += 1
  }

  /// Leaves the part entered last.
  public func end() {
    guard isRecording && !isInJob && depth > 0 else { return }
    let now = mark()
    depth -= 1
    let part = open[depth]
    append(
      Event(
        start: part.start, duration: now - part.start, block: part.block, thread: 0,
        part: part.part, direction: part.direction))
  }

  /// Says where in the model the parts to come are.
  public func enter(_ direction: StepDirection, block: Int = -1) {
    guard isRecording && !isInJob else { return }
    self.direction = direction
    self.block = Int32(block)
  }

  /// Records something that happened between steps.
  public func record(_ part: StepPart, start: Int64, end: Int64) {
    totals[index(part, .none)].wall += end - start
    totals[index(part, .none)].count += 1
    append(
      Event(
        start: start, duration: end - start, block: -1, thread: 0, part: part, direction: .none))
  }

  // MARK: The pool's threads

  /// Whether a job that starts now is to be timed; then ``endJob()`` must follow it.
  func beginJob() -> Bool {
    guard isRecording && !isInJob else { return false }
    isInJob = true
    return true
  }

  func endJob() { isInJob = false }

  /// A thread has run a block.
  func didRunBlock(worker: Int, start: Int64, end: Int64) {
    if work[worker].busy == 0 { work[worker].first = start }
    work[worker].last = end
    work[worker].busy += end - start
  }

  // MARK: Bookkeeping

  /// Books the time since the last mark, and the threads' work, on the part that is open.
  private func mark() -> Int64 {
    let now = StepProfiler.now()
    if depth > 0 {
      let part = open[depth - 1]
      let place = index(part.part, part.direction)
      totals[place].wall += now - lastMark
      for worker in 0..<threads where work[worker].busy > 0 {
        totals[place].busy += work[worker].busy
        if worker > 0 {
          append(
            Event(
              start: work[worker].first, duration: work[worker].last - work[worker].first,
              block: part.block, thread: worker, part: part.part, direction: part.direction))
        }
        work[worker] = Work()
      }
    }
    lastMark = now
    return now
  }

  private func append(_ event: Event) {
    guard eventCount < capacity else {
      droppedEvents += 1
      return
    }
    (events + eventCount).initialize(to: event)
    eventCount += 1
  }

  private func index(_ part: StepPart, _ direction: StepDirection) -> Int {
    part.rawValue * StepDirection.allCases.count + direction.rawValue
  }
}

extension Compute {
  /// Runs `body` as a part of the step; without a profiler that is all it does.
  @inlinable
  public func part<Result, Failure: Error>(
    _ part: StepPart, _ body: () throws(Failure) -> Result
  ) throws(Failure) -> Result {
    guard let profiler else { return try body() }
    profiler.begin(part)
    defer { profiler.end() }
    return try body()
  }
}
