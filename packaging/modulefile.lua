-- Lmod: module use PREFIX/share/modulefiles && module load swift-peft-train
-- The prefix is where this file lies, four folders up, so that the tree may be moved.
local prefix = myFileName():gsub("/share/modulefiles/.*$", "")

help([[
Parameter-efficient fine-tuning of language models on CPU clusters, over MPI.

  mpirun -n 2 swift-peft-train                  the demo
  man swift-peft-train                          commands and options
  ls $SWIFT_PEFT_TRAIN_SLURM                    batch scripts, and a README on clusters
]])
whatis("Name: swift-peft-train")
whatis("Version: " .. myModuleVersion())
whatis("Category: machine learning, MPI")
whatis("Description: trains PEFT adapters of language models on CPU nodes, over MPI")

-- The program is linked with Open MPI: load the site's module of it where there is one.
-- depends_on("openmpi/4.1")

prepend_path("PATH", pathJoin(prefix, "bin"))
prepend_path("MANPATH", pathJoin(prefix, "share/man"))
prepend_path("FPATH", pathJoin(prefix, "share/zsh/site-functions"))
setenv("SWIFT_PEFT_TRAIN_SLURM", pathJoin(prefix, "share/swift-peft-train/slurm"))
