package page

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/gooseplus/gooseplus/internal/dbtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(dbtest.Tests{M: m}) }
