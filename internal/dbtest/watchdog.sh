# Runs a server for as long as standard input stays open, then removes the directory that it was started in.
# The other end of that input is held by the test process, so the kernel closes it however that process ends.
#
# usage: sh -c "$(cat watchdog.sh)" watchdog SIGNAL INSTALL SERVE
#   SIGNAL   what ends the server
#   INSTALL  shell command that makes the data directory
#   SERVE    shell command that becomes the server
#
# The directory gets the files pid, log, exited once the server has ended, and over when it is to end for good.
dir=$PWD signal=$1

# Both servers accept fewer connections than they were told to if they may open only few files.
ulimit -n "$(ulimit -H -n)" 2>/dev/null || :

(
	step() { sh -c 'echo $$ >pid; eval "$1"' step "$1"; }
	step "$2" && step "$3"
	echo $? >exited
) >log 2>&1 </dev/null &
job=$!

read -r _
: >over

# The signal is repeated because the installation may just be handing over to the server.
tries=0
while kill -0 $job 2>/dev/null; do
	tries=$((tries + 1))
	[ $tries -le 100 ] || signal=KILL
	kill -s "$signal" "$(cat pid)" 2>/dev/null
	sleep 0.1
done

# A process that lost its server may still be writing.
cd /
tries=0
until rm -rf "$dir" 2>/dev/null || [ $tries -ge 50 ]; do
	tries=$((tries + 1))
	sleep 0.1
done
