/// What the environment says about the job that this process belongs to.
///
/// MPI itself cannot be asked: where the launcher and the MPI library do not speak the same protocol,
/// `MPI_Init` succeeds and every process believes it is alone. Only the launcher's own variables
/// tell eight such processes from one that really is.
public struct LauncherClaim: Sendable, Hashable {
  /// Who started the process.
  public enum Launcher: Sendable, Hashable {
    /// `mpirun` of Open MPI or PRRTE.
    case openMPI
    /// Slurm's `srun`: `hasInterface` where it offers PMIx or PMI-2 to its tasks.
    case slurm(hasInterface: Bool)
    /// A launcher of the MPICH family (MPICH, Intel MPI, Cray), by PMI.
    case pmi
    /// Something else that speaks PMIx and does not say how many processes there are.
    case pmix
    /// Flux, jsrun or MVAPICH, each by a variable of its own.
    case other
  }

  /// Who started the process.
  public let launcher: Launcher
  /// The variable that said so.
  public let variable: String
  /// Number of processes in the job, where the launcher says it.
  public let worldSize: Int?
  /// This process's number, where the launcher says it.
  public let rank: Int?
  /// Whether it speaks PMIx.
  let hasPMIx: Bool

  /// Reads the claim out of an environment; nil where no launcher speaks, so the process is alone.
  ///
  /// The first that speaks wins, nearest the process first: `mpirun` inside a Slurm job starts its
  /// daemons by `srun`, and the ranks inherit Slurm's variables, which then count daemons.
  ///
  /// Of Slurm only a *step* counts: `SLURM_STEP_NUM_TASKS` is set by `srun` alone. A batch script's
  /// own shell has `SLURM_NTASKS` and `SLURM_PROCID=0` too, and is one process all the same.
  public init?(environment: [String: String]) {
    func number(_ name: String) -> Int? { environment[name].flatMap { Int($0) } }
    let hasPMIx = environment["PMIX_RANK"] != nil
    if let size = number("OMPI_COMM_WORLD_SIZE") {
      self.init(.openMPI, "OMPI_COMM_WORLD_SIZE", size, number("OMPI_COMM_WORLD_RANK"), hasPMIx)
    } else if let size = number("SLURM_STEP_NUM_TASKS"), let rank = number("SLURM_PROCID") {
      let hasInterface = hasPMIx || environment["PMI_RANK"] != nil
      // A step of one task is one process, whether or not it could speak to others.
      if size == 1 && !hasInterface { return nil }
      self.init(
        .slurm(hasInterface: hasInterface), "SLURM_STEP_NUM_TASKS", size, rank, hasPMIx)
    } else if let size = number("PMI_SIZE"), let rank = number("PMI_RANK") {
      self.init(.pmi, "PMI_SIZE", size, rank, hasPMIx)
    } else if hasPMIx {
      self.init(.pmix, "PMIX_RANK", nil, number("PMIX_RANK"), hasPMIx)
    } else {
      let others = [
        ("MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_RANK"), ("FLUX_JOB_SIZE", "FLUX_TASK_RANK"),
        ("JSM_NAMESPACE_SIZE", "JSM_NAMESPACE_RANK"),
      ]
      for (sizeName, rankName) in others {
        if let size = number(sizeName), let rank = number(rankName) {
          self.init(.other, sizeName, size, rank, hasPMIx)
          return
        }
      }
      return nil
    }
  }

  private init(
    _ launcher: Launcher, _ variable: String, _ worldSize: Int?, _ rank: Int?, _ hasPMIx: Bool
  ) {
    self.hasPMIx = hasPMIx
    self.launcher = launcher
    self.variable = variable
    self.worldSize = worldSize
    self.rank = rank
  }

  /// Whether it is known before `MPI_Init` that the ranks cannot find each other.
  ///
  /// Open MPI started by an `srun` without PMIx prints a page about its own build and aborts; it is
  /// kinder not to let it.
  var cannotConnect: Bool {
    if case .slurm(hasInterface: false) = launcher { return true }
    return false
  }

  /// How to mend a job whose processes do not find each other.
  var remedy: String {
    switch launcher {
    case .openMPI:
      """
      The mpirun that started it does not belong to the MPI library that the program loaded; use \
      that library's own mpirun (`mpirun --version` names the launcher, `--mpi` chooses the \
      library, LD_LIBRARY_PATH where it is found), or inside a container the one of the container.
      """
    case .slurm(hasInterface: false):
      """
      srun started it without an interface by which MPI processes find each other. Use \
      `srun --mpi=pmix` (`srun --mpi=list` shows what this Slurm has) or `mpirun` inside the \
      allocation; for one process, `srun --ntasks=1`.
      """
    case .slurm(hasInterface: true):
      """
      The interface that srun offers is not one that the MPI library speaks. Use \
      `srun --mpi=pmix` (`srun --mpi=list` shows what this Slurm has) or `mpirun` inside the \
      allocation.
      """
    case .pmi:
      """
      It was started by a launcher of the MPICH family (MPICH, Intel MPI, Cray), and the MPI \
      library that the program loaded does not speak with it; `--mpi` chooses another, \
      LD_LIBRARY_PATH says where it is found.
      """
    case .pmix, .other:
      "Use the mpirun of the MPI library that the program loaded, or choose another with `--mpi`."
    }
  }
}
